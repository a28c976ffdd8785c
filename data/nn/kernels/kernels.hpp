#pragma once

// The CUDA kernels for tensors. Each computes the same as the ATen composition in data/nn, which
// runs on all other devices, and on a GPU without the library of kernels. First derivatives only.

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

// nn::group_norm, optionally followed by SiLU. x: [B, C, ...] fp32, fp16, bf16 or fp64 -> same
// shape and dtype (autocast's fp32 result, rounded). weight, bias: [C]
at::Tensor group_norm(const Library& library,
                      const at::Tensor& x,
                      const at::Tensor& weight,
                      const at::Tensor& bias,
                      int64_t groups,
                      double eps,
                      bool silu);

// nn::layer_norm. x: [..., C], weight, bias: [C] -> same shape and dtype as x
at::Tensor layer_norm(const Library& library,
                      const at::Tensor& x,
                      const at::Tensor& weight,
                      const at::Tensor& bias,
                      double eps);

// nn::geglu. both: [..., 2 F] -> [..., F]
at::Tensor geglu(const Library& library, const at::Tensor& both);

}  // namespace kernels
