#pragma once

// Where a command computes: --device auto|cpu|cuda|cuda:N and --precision fp32|bf16|fp16|auto.
//
// laurel links libtorch's CPU part alone, so that a run without a GPU starts in a third of a
// second. libtorch_cuda, which lies beside it, is loaded by open_device when a GPU is used; nothing
// may ask at::globalContext() for CUDA before that.

#include <ATen/core/Tensor.h>

#include <string>

#include "tools/cli/options.hpp"

namespace tools {

struct DeviceConfig {
  std::string device = "auto";     // auto: the GPU when there is one that can be used
  std::string precision = "fp32";  // of matrix products; weights and log-probabilities stay fp32
};

// Declares --device and --precision, which may be rare.
void declare_device(Options& options, DeviceConfig& config, Rarity precision = Rarity::kUsual);

struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType compute = at::kFloat;  // dtype of matrix products
  std::string name;                     // the GPU's
};

// Resolves the choice and, for a GPU, loads libtorch_cuda. Throws BadInput when cuda is asked for
// and cannot be had (tools/cli/gpu_diagnosis.hpp says why), when a word is not known, and for fp16
// on the CPU. bf16 on the CPU is measured, and a warning with both figures is printed where it is
// slower than fp32; "auto" takes bf16 on a GPU, and on a CPU where it is measurably faster.
// `local_rank`: which of the machine's processes this is; each takes a GPU of its own.
Placement open_device(const DeviceConfig& config, int64_t local_rank = 0);

// Bytes that a run may hold on the device: --max_memory's, "" for what a GPU has free (infinite for
// the CPU). Throws BadInput.
double memory_limit(const std::string& max_memory, at::Device device);

// While it lives, matrix products on the placement's device run in its compute dtype (libtorch's
// autocast, without its cache of weights, which would hide from a run what it has trained); fp32:
// no change. One at a time.
class PrecisionScope {
 public:
  explicit PrecisionScope(const Placement& placement);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Placement placement_;
};

}  // namespace tools
