#pragma once

#include <ATen/core/Tensor.h>

namespace data {

// Pillow's bicubic resize of an 8-bit image, bit for bit: antialiased, a = -0.5, horizontal pass
// first, 22-bit coefficients, each pass rounded and clipped to 8 bits (Pillow's Resample.c). What
// the Python processors of CLIP and its kin do before anything else. pixels: [H, W, 3] uint8 ->
// [height, width, 3] uint8
at::Tensor pillow_bicubic(const at::Tensor& pixels, int64_t height, int64_t width);

}  // namespace data
