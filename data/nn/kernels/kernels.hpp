#pragma once

// The CUDA kernels for tensors. What each computes is defined by the ATen composition in
// data/nn, which every device but a GPU takes, and a GPU too without the kernels'
// library. First derivatives only.

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

// Opens liblaurel_kernels.so at `path`, once and for good. Why it cannot be used here: `problem`,
// empty when it can.
struct Opened {
  Library library;
  std::string problem;
};
Opened open_library(const std::filesystem::path& path);
// Why the library beside the program cannot be used on the present GPU; "": it can.
std::string trouble_beside_program();

// The kernels that can take x: null when x is not on a GPU, is of another type than theirs, or the
// library beside the program is missing or cannot run on this GPU (said once on standard error).
const Library* library_for(const at::Tensor& x);

// nn::group_norm, with SiLU behind it or not. x: [B, C, ...] fp32, fp16, bf16 or fp64 -> as x, of
// x's type (autocast's fp32 result is what this one is rounded from). weight, bias: [C]
at::Tensor group_norm(const Library& library,
                      const at::Tensor& x,
                      const at::Tensor& weight,
                      const at::Tensor& bias,
                      int64_t groups,
                      double eps,
                      bool silu);

// nn::layer_norm. x: [..., C], weight, bias: [C] -> as x, of x's type
at::Tensor layer_norm(const Library& library,
                      const at::Tensor& x,
                      const at::Tensor& weight,
                      const at::Tensor& bias,
                      double eps);

// nn::geglu. both: [..., 2 F] -> [..., F]
at::Tensor geglu(const Library& library, const at::Tensor& both);

}  // namespace kernels
