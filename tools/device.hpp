#pragma once

// Where a command computes: --device auto|cpu|cuda and --precision fp32|bf16|fp16.
//
// laurel links libtorch's CPU part alone, so that a run without a GPU starts in a third of a
// second. libtorch_cuda, which lies beside it, is loaded by open_device when a GPU is used; nothing
// may ask at::globalContext() for CUDA before that.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tools/options.hpp"

namespace tools {

struct DeviceConfig {
  std::string device = "auto";     // auto: the GPU when there is one that can be used
  std::string precision = "fp32";  // of matrix products; weights and log-probabilities stay fp32
};

// Declares --device and --precision.
void declare_device(Options& options, DeviceConfig& config);

struct Gpu {
  std::string name;
  int64_t memory_bytes = 0;
};

// What the machine offers, asked of the driver (libcuda) without touching libtorch.
struct GpuProbe {
  std::vector<Gpu> gpus;
  int driver_cuda = 0;  // the newest CUDA that the driver serves: 13000 is 13.0; 0 without a driver
  std::filesystem::path torch_library;  // libtorch_cuda.so; empty when this libtorch has none
  std::string problem;  // why no GPU can be used, and what to do; empty when one can
};
GpuProbe probe_gpu();

struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType compute = at::kFloat;  // dtype of matrix products
};

// Resolves the choice and, for a GPU, loads libtorch_cuda. Throws BadInput when cuda is asked for
// and cannot be had, when a word is not known, and for fp16 on the CPU. bf16 on the CPU is allowed
// with a warning: it is slower there. `local_rank`: which of the machine's processes this is; each
// takes a GPU of its own.
Placement open_device(const DeviceConfig& config, int64_t local_rank = 0);

// While it lives, matrix products on the placement's device run in its compute dtype (libtorch's
// autocast); fp32: no change. One at a time.
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
