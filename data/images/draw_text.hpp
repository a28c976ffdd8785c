#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace data {

// The image with a line of white text across its middle, cut off at its right side. Rounded to 8
// bits. image: [3, H, W] fp32 in [0, 1] -> the same shape
at::Tensor draw_text(const at::Tensor& image, const std::string& text);

}  // namespace data
