#pragma once

// Finds the GPUs of this machine and their driver, and describes what prevents their use.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tools {

struct Gpu {
  std::string name;
  int64_t memory_bytes = 0;
};

struct GpuFacts {
  // From the driver (libcuda.so.1), without libtorch:
  bool driver = false;  // the library exists
  int init_status = 0;  // result of cuInit; 0: success
  int driver_cuda = 0;  // the newest CUDA version that the driver supports: 13000 is 13.0
  std::vector<Gpu> gpus;
  bool hidden = false;                  // CUDA_VISIBLE_DEVICES is set
  std::filesystem::path torch_library;  // libtorch_cuda.so; empty when this libtorch has none
  // From libtorch_cuda, once it is loaded:
  std::string load_error;     // why loading failed
  int torch_cuda = 0;         // the CUDA version it was built for; 0: not loaded
  bool torch_finds = true;    // whether it finds a GPU
  std::string compute_error;  // why a first matrix product failed
};

// One line that says why no GPU can be used and what to do; "" when the facts show no obstacle.
std::string describe_gpu_trouble(const GpuFacts& facts);

// The number of "cuda:<number>"; none for "auto" and "cuda". Throws BadInput for another word.
std::optional<int64_t> named_gpu(const std::string& device);
// The index, below `gpus`, of the GPU that `--device` selects; without a number, the process's
// `local_rank`. Throws BadInput for a number beyond the GPUs, a number for several processes on one
// machine, and more processes than GPUs.
int64_t gpu_index(const std::string& device, int64_t local_rank, int64_t gpus);

// The facts from the driver.
GpuFacts probe_gpu();
// Adds the facts from libtorch: when the driver's facts show no obstacle, loads libtorch_cuda,
// which takes a second, and computes a small matrix product on GPU `index`.
void ask_torch(GpuFacts& facts, int64_t index);

std::string cuda_text(int version);  // 13000 -> "13.0"

}  // namespace tools
