#pragma once

#include <ATen/core/Tensor.h>

namespace data {

// pixels: [.., H, W, 3] uint8 -> [.., 3, H, W] fp32 in [0, 1], without another copy on the way
at::Tensor from_pixels(const at::Tensor& pixels);

}  // namespace data
