#pragma once

// Weights in oneDNN's own layout, for networks that sample on the CPU and are not trained. With a
// plain weight each product and convolution first brings it into that layout, which takes as long
// as the arithmetic where few rows or pixels read many weights. A prepacked weight is a tensor of
// layout Mkldnn with the sizes and the type of the plain one, which it replaces; nn::linear and
// nn::conv2d take either. Results differ by rounding.

#include <ATen/core/Tensor.h>

#include <optional>

namespace nn {

// Whether a weight of this shape is worth it: two or four axes, many channels on both sides.
// Narrower ones stay in the processor's cache.
bool is_wide(at::IntArrayRef shape);

// Whether the weight of a linear layer [out, in] or a convolution [out, in, k, k] gains by it:
// wide, fp32 or a bf16 that the processor multiplies, on the CPU, in memory, without a gradient.
bool prepacking_pays(const at::Tensor& weight);

// The weights of a product with that many rows and of a convolution of x: [B, in, H, W]; they work
// with other sizes, for which the layout may be slower. Throw c10::Error where prepacking_pays is
// false.
at::Tensor prepacked_linear_weight(const at::Tensor& weight, int64_t rows);
at::Tensor prepacked_conv2d_weight(const at::Tensor& weight,
                                   at::IntArrayRef x,
                                   int64_t stride,
                                   int64_t pad);

// at::linear and at::conv2d in the weight's type. Where a gradient of x is asked for, the weight is
// brought back at each call: right, and slower than a plain one.
at::Tensor prepacked_linear(const at::Tensor& x,
                            const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias);
at::Tensor prepacked_conv2d(const at::Tensor& x,
                            const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias,
                            int64_t stride,
                            int64_t pad);

}  // namespace nn
