#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace data {

// Images side by side, `columns` a row, white where the last row ends early.
// images: [B, 3, H, W] -> [3, H', W']
at::Tensor contact_sheet(const at::Tensor& images, int64_t columns);

}  // namespace data
