#include "tools/device.hpp"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <iostream>
#include <memory>

#include "data/error.hpp"

using data::BadInput;

namespace tools {
namespace {

// The few functions of the CUDA driver that a probe needs, as cuda.h declares them.
struct Driver {
  int (*init)(unsigned flags) = nullptr;
  int (*version)(int* version) = nullptr;
  int (*count)(int* count) = nullptr;
  int (*device)(int* device, int ordinal) = nullptr;
  int (*name)(char* name, int length, int device) = nullptr;
  int (*memory)(size_t* bytes, int device) = nullptr;
};

template <class F>
bool load_symbol(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

bool load_driver(Driver& driver) {
  void* library =
      dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);  // kept: the driver stays in the process
  return library && load_symbol(library, "cuInit", driver.init) &&
         load_symbol(library, "cuDriverGetVersion", driver.version) &&
         load_symbol(library, "cuDeviceGetCount", driver.count) &&
         load_symbol(library, "cuDeviceGet", driver.device) &&
         load_symbol(library, "cuDeviceGetName", driver.name) &&
         load_symbol(library, "cuDeviceTotalMem_v2", driver.memory);
}

// libtorch_cuda.so of the folder from which libtorch_cpu was loaded; empty when it has none.
std::filesystem::path find_torch_cuda() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &info) || !info.dli_fname) return {};
  const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

void list_gpus(const Driver& driver, GpuProbe& probe) {
  int count = 0;
  driver.version(&probe.driver_cuda);
  const int status = driver.init(0);
  if (status != 0 || driver.count(&count) != 0 || count == 0) {
    probe.problem = "the driver finds no GPU (cuInit: " + std::to_string(status) +
                    "); check `nvidia-smi` and, in a container, that the GPU is passed in";
    return;
  }
  for (int i = 0; i < count; ++i) {
    int device = 0;
    char name[256] = "";
    size_t bytes = 0;
    if (driver.device(&device, i) != 0) continue;
    driver.name(name, sizeof name, device);
    driver.memory(&bytes, device);
    probe.gpus.push_back({.name = name, .memory_bytes = static_cast<int64_t>(bytes)});
  }
}

void load_torch_cuda(const std::filesystem::path& path) {
  static void* library = nullptr;
  if (library) return;
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    throw BadInput("--device cuda: cannot load " + path.string() + ": " + dlerror() +
                   "; run tools/setup --gpu, or use --device cpu");
  }
}

at::Device open_gpu(const GpuProbe& probe, int64_t local_rank) {
  const auto count = static_cast<int64_t>(probe.gpus.size());
  if (local_rank >= count) {
    throw BadInput("--device cuda: expected a GPU for each process of this machine, found " +
                   std::to_string(count) + " for local rank " + std::to_string(local_rank) +
                   "; start at most " + std::to_string(count) + " here");
  }
  load_torch_cuda(probe.torch_library);
  if (!at::globalContext().hasCUDA()) {
    throw BadInput(
        "--device cuda: libtorch finds no usable GPU though the driver lists one (driver for "
        "CUDA " +
        std::to_string(probe.driver_cuda / 1000) + "." +
        std::to_string(probe.driver_cuda % 1000 / 10) +
        "); update the NVIDIA driver, or use --device cpu");
  }
  at::globalContext().setAllowTF32CuDNN(
      false);  // fp32 means fp32: images must agree with the CPU's
  at::globalContext().lazyInitDevice(at::kCUDA);
  const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(local_rank));
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);  // nothing of this process on another
  return device;
}

at::ScalarType parse_precision(const std::string& word) {
  if (word == "fp32") return at::kFloat;
  if (word == "bf16") return at::kBFloat16;
  if (word == "fp16") return at::kHalf;
  throw BadInput("--precision: expected one of fp32, bf16, fp16, found '" + word + "'");
}

}  // namespace

void declare_device(Options& options, DeviceConfig& config) {
  options.choice("device", config.device, {"auto", "cpu", "cuda"}, "where to compute");
  options.choice("precision", config.precision, {"fp32", "bf16", "fp16"}, "of matrix products");
}

GpuProbe probe_gpu() {
  GpuProbe probe;
  probe.torch_library = find_torch_cuda();
  Driver driver;
  if (!load_driver(driver)) {
    probe.problem = "no NVIDIA driver (libcuda.so.1 is missing); install it, or use --device cpu";
    return probe;
  }
  list_gpus(driver, probe);
  if (probe.problem.empty() && probe.gpus.empty()) {
    probe.problem = "the driver lists a GPU but does not describe it; check `nvidia-smi`";
  } else if (probe.problem.empty() && probe.torch_library.empty()) {
    probe.problem =
        "this libtorch has no libtorch_cuda.so; run tools/setup --gpu, or use --device cpu";
  }
  return probe;
}

Placement open_device(const DeviceConfig& config, int64_t local_rank) {
  Placement placement;
  placement.compute = parse_precision(config.precision);
  if (config.device != "auto" && config.device != "cpu" && config.device != "cuda") {
    throw BadInput("--device: expected one of auto, cpu, cuda, found '" + config.device + "'");
  }
  if (config.device != "cpu") {
    const GpuProbe probe = probe_gpu();
    if (probe.problem.empty()) {
      placement.device = open_gpu(probe, local_rank);
    } else if (config.device == "cuda") {
      throw BadInput("--device cuda: " + probe.problem);
    } else if (!probe.gpus.empty()) {
      std::cerr << "laurel: computing on the CPU: " << probe.problem << "\n";
    }
  }
  if (placement.device.is_cpu() && placement.compute == at::kHalf) {
    throw BadInput("--precision fp16: the CPU has no fp16 arithmetic; use --precision fp32");
  }
  if (placement.device.is_cpu() && placement.compute == at::kBFloat16) {
    std::cerr << "laurel: --precision bf16 is usually slower than fp32 on a CPU (`laurel doctor` "
                 "measures it)\n";
  }
  return placement;
}

PrecisionScope::PrecisionScope(const Placement& placement) : placement_(placement) {
  if (placement_.compute == at::kFloat) return;
  at::autocast::set_autocast_dtype(placement_.device.type(), placement_.compute);
  at::autocast::set_autocast_enabled(placement_.device.type(), true);
}

PrecisionScope::~PrecisionScope() {
  if (placement_.compute == at::kFloat) return;
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(placement_.device.type(), false);
}

}  // namespace tools
