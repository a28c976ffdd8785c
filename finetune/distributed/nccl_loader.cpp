#include "finetune/distributed/nccl_loader.hpp"

#include "data/base/shared_library.hpp"

namespace finetune {

namespace {

struct Nccl {
  OpenNccl open = nullptr;
  std::string trouble;
};

Nccl load() {
  const auto library = data::beside_program("liblaurel_nccl.so");
  const std::string host = "; gradients of GPUs are summed through host memory without it";
  if (!std::filesystem::exists(library))
    return {nullptr, library.string() + " is missing: build the cuda preset" + host};
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // kept: its group may live on
  if (!handle) return {nullptr, std::string("cannot load NCCL: ") + dlerror() + host};
  return {reinterpret_cast<OpenNccl>(dlsym(handle, "laurel_open_nccl")), ""};
}

}  // namespace

OpenNccl find_nccl() { return load().open; }

std::string nccl_problem() { return load().trouble; }

}  // namespace finetune
