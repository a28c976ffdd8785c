#pragma once

// The CUDA kernels for tensors. Each computes the same as the ATen composition in data/nn, which
// runs on all other devices, and on a GPU without the library of kernels. First derivatives only.

#include <ATen/core/Tensor.h>

#include "data/nn/kernels/load_library.hpp"

namespace kernels {

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
