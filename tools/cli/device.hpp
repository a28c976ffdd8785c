#pragma once

// The device and the precision of a command: --device auto|cpu|cuda|cuda:N and
// --precision fp32|bf16|fp16|auto.
//
// laurel links only libtorch's CPU part, so that a run without a GPU starts in a third of a second.
// open_device loads libtorch_cuda, from the same folder, when a GPU is used. Do not ask
// at::globalContext() for CUDA before that.

#include <ATen/core/Tensor.h>

#include <string>

#include "tools/cli/options.hpp"

namespace tools {

struct DeviceConfig {
  std::string device = "auto";     // auto: a usable GPU, else the CPU
  std::string precision = "fp32";  // of matrix products; weights and log-probabilities are fp32
};

// Declares --device and --precision, which may be rare.
void declare_device(Options& options, DeviceConfig& config, Rarity precision = Rarity::kUsual);

struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType compute = at::kFloat;  // dtype of matrix products
  std::string name;                     // of the GPU
};

// Chooses the device and, for a GPU, loads libtorch_cuda. Throws BadInput for cuda without a usable
// GPU (with the reason from tools/cli/gpu_diagnosis.hpp), for an unknown word, and for fp16 on the
// CPU. bf16 on the CPU is measured, with a warning where it is slower than fp32; "auto" is bf16 on
// a GPU, and on a CPU where it is faster. `local_rank`: the index of this process on the machine;
// each process uses a GPU of its own.
Placement open_device(const DeviceConfig& config, int64_t local_rank = 0);

// Bytes of device memory that a run may use: `max_memory`; for "", what is free on a GPU, infinite
// on the CPU. Throws BadInput for another text than an amount.
double memory_limit(const std::string& max_memory, at::Device device);

// RAII: matrix products on the placement's device run in its compute dtype, by libtorch's autocast
// without its weight cache, because that would return outdated weights in training. No effect for
// fp32. One at a time.
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
