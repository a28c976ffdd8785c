#include "data/nn/kernels/load_library.hpp"

#include <ATen/ATen.h>

#include "data/base/log.hpp"
#include "data/base/shared_library.hpp"

namespace kernels {
namespace {

std::filesystem::path place() { return data::beside_program("liblaurel_kernels.so"); }

// The kernels of the library beside the program, opened at the first call.
const Library* beside_program() {
  static const Library* const usable = []() -> const Library* {
    if (!std::filesystem::exists(place())) return nullptr;
    static const Opened opened = open_library(place());
    if (opened.problem.empty()) return &opened.library;
    data::log_warning("computing without its own kernels: " + opened.problem);
    return nullptr;
  }();
  return usable;
}

}  // namespace

Opened open_library(const std::filesystem::path& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {{}, dlerror()};
  Library library;
  if (!data::find_function(handle, "laurel_kernels_problem", library.problem) ||
      !data::find_function(handle, "laurel_group_norm", library.group_norm) ||
      !data::find_function(handle, "laurel_group_norm_backward", library.group_norm_backward) ||
      !data::find_function(handle, "laurel_layer_norm", library.layer_norm) ||
      !data::find_function(handle, "laurel_layer_norm_backward", library.layer_norm_backward) ||
      !data::find_function(handle, "laurel_geglu", library.geglu) ||
      !data::find_function(handle, "laurel_geglu_backward", library.geglu_backward))
    return {{}, path.string() + " belongs to another version of laurel"};
  const char* problem = library.problem();
  return {library, problem ? path.string() + ": " + problem : ""};
}

std::string trouble_beside_program() {
  return std::filesystem::exists(place()) ? open_library(place()).problem
                                          : place().string() + " is missing: build the cuda preset";
}

const Library* library_for(const at::Tensor& x) {
  if (!x.is_cuda()) return nullptr;
  const auto type = x.scalar_type();
  const bool known =
      type == at::kFloat || type == at::kHalf || type == at::kBFloat16 || type == at::kDouble;
  return known ? beside_program() : nullptr;
}

}  // namespace kernels
