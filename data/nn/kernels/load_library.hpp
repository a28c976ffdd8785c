#pragma once

// Opens the library of CUDA kernels, liblaurel_kernels.so.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "data/nn/kernels/abi.hpp"

namespace kernels {

struct Library {
  decltype(&laurel_kernels_problem) problem = nullptr;
  decltype(&laurel_group_norm) group_norm = nullptr;
  decltype(&laurel_group_norm_backward) group_norm_backward = nullptr;
  decltype(&laurel_layer_norm) layer_norm = nullptr;
  decltype(&laurel_layer_norm_backward) layer_norm_backward = nullptr;
  decltype(&laurel_geglu) geglu = nullptr;
  decltype(&laurel_geglu_backward) geglu_backward = nullptr;
};

// Opens liblaurel_kernels.so at `path`, once; it is never closed. `problem`: why it cannot be used
// here, or empty.
struct Opened {
  Library library;
  std::string problem;
};
Opened open_library(const std::filesystem::path& path);
// Why the library beside the program cannot be used on the present GPU; "" when it can.
std::string trouble_beside_program();

// The kernels for x: null when x is not on a GPU or has an unsupported dtype, or when the library
// beside the program is missing or cannot run on this GPU (printed once on stderr).
const Library* library_for(const at::Tensor& x);

}  // namespace kernels
