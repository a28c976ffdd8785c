#pragma once

// 3x3 convolutions on the CPU with fewer multiplications: Winograd's minimal filtering F(4x4, 3x3)
// (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3). An
// output tile of 4x4 pixels takes 36 products per pair of channels instead of 144.

#include <ATen/core/Tensor.h>

namespace nn {

// Whether the sizes of a convolution with this stride and zero padding gain by it: 3x3, stride 1,
// padding 1, many pixels in all and many channels. x: [B, in, H, W], weight: [out, in, 3, 3]
bool winograd_fits(at::IntArrayRef x, at::IntArrayRef weight, int64_t stride, int64_t pad);

// Whether a convolution with this stride and zero padding gains by it: winograd_fits, in
// fp32 on the CPU without autocast. The answer does not depend on gradients, so that a pass without
// them gives the same bits.
bool winograd_pays(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t pad);

// conv2d with stride 1 and padding 1, differentiable once or more. x: [B, in, H, W] fp32, weight:
// [out, in, 3, 3], bias: [out] or undefined -> [B, out, H, W]. Differs from a direct convolution by
// rounding: about 2e-6 of the root mean square. Throws c10::Error for other shapes or types.
at::Tensor winograd_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace nn
