#include "tools/cli/device.hpp"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "data/profile/precision_speed.hpp"
#include "tools/cli/gpu_diagnosis.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr double kMeasureSeconds = 0.1;  // of each product and precision
constexpr double kWorthIt = 1.2;         // times faster, below which `auto` keeps fp32

// "auto" stands for fp32 until the device is known.
at::ScalarType parse_precision(const std::string& word) {
  if (word == "auto") return at::kFloat;
  if (word == "fp32") return at::kFloat;
  if (word == "bf16") return at::kBFloat16;
  if (word == "fp16") return at::kHalf;
  throw BadInput("--precision: expected one of auto, fp32, bf16, fp16, found '" + word + "'");
}

// Opens the GPU that `device` selects. "auto" falls back to the CPU, with a message when a GPU
// exists and cannot be used.
void open_gpu(const std::string& device, int64_t local_rank, Placement& placement) {
  const bool asked = device != "auto";
  named_gpu(device);  // throws for an unknown word
  GpuFacts facts = probe_gpu();
  const auto count = static_cast<int64_t>(facts.gpus.size());
  std::string trouble = describe_gpu_trouble(facts);
  if (trouble.empty()) {
    const int64_t index = gpu_index(device, local_rank, count);
    ask_torch(facts, index);
    trouble = describe_gpu_trouble(facts);
    if (trouble.empty()) {
      placement.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
      placement.name = facts.gpus[static_cast<size_t>(index)].name;
      // No TF32: images must agree with those of the CPU.
      at::globalContext().setAllowTF32CuDNN(false);
      return;
    }
  }
  if (asked) throw BadInput("--device " + device + ": " + trouble);
  if (count > 0) data::log_warning("computing on the CPU: " + trouble);
}

// bf16 on a GPU; on a CPU where training a convolution in it is measurably faster than in fp32.
void choose_precision(Placement& placement) {
  std::string why = "a GPU computes in it";
  if (placement.device.is_cpu()) {
    const auto fp32 = data::measure_precision(at::kFloat, kMeasureSeconds);
    const auto bf16 = data::measure_precision(at::kBFloat16, kMeasureSeconds);
    why = data::compare_precisions(fp32, bf16);
    if (bf16.convolution > kWorthIt * fp32.convolution) placement.compute = at::kBFloat16;
  } else {
    placement.compute = at::kBFloat16;
  }
  std::string said = "--precision auto: ";
  said += placement.compute == at::kBFloat16 ? "bf16" : "fp32";
  data::log_info(said.append(" (").append(why).append(")"));
}

void warn_of_slow_bf16() {
  const auto fp32 = data::measure_precision(at::kFloat, kMeasureSeconds);
  const auto bf16 = data::measure_precision(at::kBFloat16, kMeasureSeconds);
  if (bf16.convolution >= fp32.convolution) return;
  data::log_warning("--precision bf16: " + data::compare_precisions(fp32, bf16) +
                    "; use --precision fp32");
}

}  // namespace

void declare_device(Options& options, DeviceConfig& config, Rarity precision) {
  options.text("device", config.device, "device to compute on: auto, cpu, cuda, cuda:<number>");
  options.rare(precision).choice("precision", config.precision, {"fp32", "bf16", "fp16", "auto"},
                                 "precision of matrix products; auto: bf16 where it is faster");
  options.alias("mixed_precision", "precision");
}

Placement open_device(const DeviceConfig& config, int64_t local_rank) {
  Placement placement;
  placement.compute = parse_precision(config.precision);
  if (config.device != "cpu") open_gpu(config.device, local_rank, placement);
  if (placement.device.is_cpu() && placement.compute == at::kHalf) {
    throw BadInput("--precision fp16: the CPU has no fp16 arithmetic; use --precision fp32");
  }
  if (config.precision == "auto") {
    choose_precision(placement);
  } else if (placement.device.is_cpu() && placement.compute == at::kBFloat16) {
    warn_of_slow_bf16();
  }
  return placement;
}

double memory_limit(const std::string& max_memory, at::Device device) {
  return max_memory.empty() ? data::memory_within_reach(device)
                            : data::parse_bytes(max_memory, "max_memory");
}

PrecisionScope::PrecisionScope(const Placement& placement) : placement_(placement) {
  if (placement_.compute == at::kFloat) return;
  at::autocast::set_autocast_dtype(placement_.device.type(), placement_.compute);
  at::autocast::set_autocast_enabled(placement_.device.type(), true);
  at::autocast::set_autocast_cache_enabled(false);
}

PrecisionScope::~PrecisionScope() {
  if (placement_.compute == at::kFloat) return;
  at::autocast::set_autocast_enabled(placement_.device.type(), false);
  at::autocast::set_autocast_cache_enabled(true);
}

}  // namespace tools
