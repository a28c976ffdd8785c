#pragma once

// Photographs as they are meant to be seen.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace data {

// The Exif tag Orientation of a JPEG, a PNG (eXIf) or a WebP: 1..8; 1 where there is none.
int64_t exif_orientation(std::string_view bytes);

// The picture turned and mirrored as that number says. image: [3, H, W] -> [3, H, W] or [3, W, H]
at::Tensor upright(const at::Tensor& image, int64_t orientation);

}  // namespace data
