#pragma once

// What this machine has of GPUs and of what drives them, and in words what is wrong with it.

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
  // Asked of the driver (libcuda.so.1), without touching libtorch.
  bool driver = false;  // it is there
  int init_status = 0;  // what cuInit returned; 0: good
  int driver_cuda = 0;  // the newest CUDA that the driver serves: 13000 is 13.0
  std::vector<Gpu> gpus;
  bool hidden = false;                  // CUDA_VISIBLE_DEVICES is set
  std::filesystem::path torch_library;  // libtorch_cuda.so; empty when this libtorch has none
  // Asked of libtorch_cuda, once it was loaded.
  std::string load_error;     // why it could not be
  int torch_cuda = 0;         // the CUDA that it was built for; 0: not loaded
  bool torch_finds = true;    // it finds a GPU
  std::string compute_error;  // why a first product failed
};

// Why no GPU can be used and what to do, in a line; "": one can, as far as the facts go.
std::string describe_gpu_trouble(const GpuFacts& facts);

// The number of "cuda:<number>"; none of "auto" and "cuda". Throws BadInput for another word.
std::optional<int64_t> named_gpu(const std::string& device);
// Which of `gpus` GPUs `--device` names: without a number that of the process's `local_rank`.
// Throws BadInput for a number beyond the GPUs, a number for several processes of a machine, and
// more processes than GPUs.
int64_t gpu_index(const std::string& device, int64_t local_rank, int64_t gpus);

// The facts that the driver tells.
GpuFacts probe_gpu();
// Loads libtorch_cuda (a second) where the driver's facts are good, and asks it for the others;
// computes a small product on GPU `index`.
void ask_torch(GpuFacts& facts, int64_t index);

std::string cuda_text(int version);  // 13000 -> "13.0"

}  // namespace tools
