#include "tools/cli/gpu_diagnosis.hpp"

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdlib>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shared_library.hpp"
#include "data/device/device.hpp"

using data::BadInput;

namespace tools {
namespace {

const std::string kOrCpu = ", or use --device cpu";

// The functions of the CUDA driver that probe_gpu calls, declared as in cuda.h.
struct Driver {
  int (*init)(unsigned flags) = nullptr;
  int (*version)(int* version) = nullptr;
  int (*count)(int* count) = nullptr;
  int (*device)(int* device, int ordinal) = nullptr;
  int (*name)(char* name, int length, int device) = nullptr;
  int (*memory)(size_t* bytes, int device) = nullptr;
};

bool load_driver(Driver& driver) {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);  // never closed
  return library && data::find_function(library, "cuInit", driver.init) &&
         data::find_function(library, "cuDriverGetVersion", driver.version) &&
         data::find_function(library, "cuDeviceGetCount", driver.count) &&
         data::find_function(library, "cuDeviceGet", driver.device) &&
         data::find_function(library, "cuDeviceGetName", driver.name) &&
         data::find_function(library, "cuDeviceTotalMem_v2", driver.memory);
}

// libtorch_cuda.so in the folder of the loaded libtorch_cpu; empty when there is none.
std::filesystem::path find_torch_cuda() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &info) || !info.dli_fname) return {};
  const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

void list_gpus(const Driver& driver, GpuFacts& facts) {
  int count = 0;
  driver.version(&facts.driver_cuda);
  facts.init_status = driver.init(0);
  if (facts.init_status != 0 || driver.count(&count) != 0) return;
  for (int i = 0; i < count; ++i) {
    int device = 0;
    char name[256] = "";
    size_t bytes = 0;
    if (driver.device(&device, i) != 0) continue;
    driver.name(name, sizeof name, device);
    driver.memory(&bytes, device);
    facts.gpus.push_back({.name = name, .memory_bytes = static_cast<int64_t>(bytes)});
  }
}

// The error codes are those of cuda.h.
std::string init_trouble(const GpuFacts& facts) {
  const std::string code = " (cuInit: " + std::to_string(facts.init_status) + ")";
  switch (facts.init_status) {
    case 34:
      return "the first libcuda.so.1 is the CUDA toolkit's stub, not the driver" + code +
             "; remove its folder from LD_LIBRARY_PATH" + kOrCpu;
    case 802:
      return "the GPUs are not ready" + code + "; start nvidia-fabricmanager" + kOrCpu;
    case 803:
      return "the NVIDIA driver's library and its kernel module have different versions" + code +
             "; restart the machine after a driver update; in a container, use the host's libcuda" +
             kOrCpu;
    case 804:
      return "CUDA's forward-compatibility libcuda does not support this GPU" + code +
             "; remove its folder from LD_LIBRARY_PATH" + kOrCpu;
    default:
      return "the NVIDIA driver finds no GPU" + code + "; check `nvidia-smi`" +
             (facts.hidden ? ", CUDA_VISIBLE_DEVICES" : "") +
             " and, in a container, that the GPU is passed through" + kOrCpu;
  }
}

// The oldest NVIDIA driver that supports a CUDA version, from its release notes; "" if unknown.
std::string least_driver(int cuda) {
  switch (cuda / 1000) {
    case 11:
      return " to 450 or newer";
    case 12:
      return " to 525 or newer";
    case 13:
      return " to 580 or newer";
    default:
      return "";
  }
}

std::string torch_trouble(const GpuFacts& facts) {
  if (!facts.load_error.empty()) {
    return "cannot load libtorch's CUDA part: " + facts.load_error + "; run tools/setup --gpu" +
           kOrCpu;
  }
  const std::string versions = "the NVIDIA driver supports CUDA " + cuda_text(facts.driver_cuda) +
                               ", libtorch was built for CUDA " + cuda_text(facts.torch_cuda);
  // A driver supports every minor version of its major CUDA version, and all older ones.
  if (facts.driver_cuda / 1000 < facts.torch_cuda / 1000) {
    return versions + "; update the driver" + least_driver(facts.torch_cuda) +
           ", give -DLAUREL_TORCH=<a libtorch for CUDA " + cuda_text(facts.driver_cuda) + ">" +
           kOrCpu;
  }
  if (!facts.torch_finds) {
    return "libtorch finds no usable GPU, although the driver lists one (" + versions +
           "); check `nvidia-smi`" + (facts.hidden ? ", CUDA_VISIBLE_DEVICES" : "") + kOrCpu;
  }
  if (!facts.compute_error.empty()) {
    return "a first matrix product on the GPU failed: " + facts.compute_error + " (" + versions +
           "); check with `nvidia-smi` that the GPU is free, and that this libtorch supports it" +
           kOrCpu;
  }
  return "";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string try_product(at::Device device) {
  try {
    const at::Tensor a = at::ones({8, 8}, at::TensorOptions(device));
    at::mm(a, a);
    data::synchronize(device);
  } catch (const c10::Error& error) {
    return first_line(error.what_without_backtrace());
  }
  return "";
}

bool load_torch(GpuFacts& facts) {
  static void* library = nullptr;  // never closed
  if (!library) library = dlopen(facts.torch_library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) facts.load_error = first_line(dlerror());
  return library != nullptr;
}

}  // namespace

std::string cuda_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string describe_gpu_trouble(const GpuFacts& facts) {
  if (!facts.driver)
    return "no NVIDIA driver (libcuda.so.1 is missing or lacks functions); install it" + kOrCpu;
  if (facts.init_status != 0 || facts.gpus.empty()) return init_trouble(facts);
  if (facts.torch_library.empty())
    return "this libtorch has no CUDA part (libtorch_cuda.so); run tools/setup --gpu" + kOrCpu;
  if (!facts.load_error.empty() || facts.torch_cuda > 0) return torch_trouble(facts);
  return "";
}

std::optional<int64_t> named_gpu(const std::string& device) {
  if (device == "auto" || device == "cuda") return std::nullopt;
  const auto index = data::number_of<int64_t>(device.starts_with("cuda:") ? device.substr(5) : "");
  if (index && *index >= 0) return index;
  throw BadInput("--device: expected one of auto, cpu, cuda, cuda:<number>, found '" + device +
                 "'");
}

int64_t gpu_index(const std::string& device, int64_t local_rank, int64_t gpus) {
  const std::optional<int64_t> named = named_gpu(device);
  const std::string found = ", found " + std::to_string(gpus) + (gpus == 1 ? " GPU" : " GPUs");
  if (named && local_rank > 0) {
    throw BadInput("--device " + device +
                   ": expected `cuda` with several processes on a machine (each process uses the "
                   "GPU of its local rank), found a number");
  }
  if (named && *named >= gpus) {
    throw BadInput("--device " + device + ": expected a number from 0 to " +
                   std::to_string(gpus - 1) + found + " (`laurel doctor` lists them)");
  }
  if (local_rank >= gpus) {
    throw BadInput("--device cuda: expected a GPU for each process of this machine" + found +
                   " for local rank " + std::to_string(local_rank) + "; start at most " +
                   std::to_string(gpus) + " here");
  }
  return named.value_or(local_rank);
}

GpuFacts probe_gpu() {
  GpuFacts facts;
  facts.torch_library = find_torch_cuda();
  facts.hidden = std::getenv("CUDA_VISIBLE_DEVICES") != nullptr;
  Driver driver;
  facts.driver = load_driver(driver);
  if (facts.driver) list_gpus(driver, facts);
  return facts;
}

void ask_torch(GpuFacts& facts, int64_t index) {
  if (!describe_gpu_trouble(facts).empty() || !load_torch(facts)) return;
  facts.torch_cuda = static_cast<int>(at::detail::getCUDAHooks().versionCUDART());
  if (!describe_gpu_trouble(facts).empty()) return;  // libtorch would print many warnings
  facts.torch_finds = at::globalContext().hasCUDA();
  if (!facts.torch_finds) return;
  at::globalContext().lazyInitDevice(at::kCUDA);
  const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(index));
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);  // allocate on no other GPU
  facts.compute_error = try_product(device);
}

}  // namespace tools
