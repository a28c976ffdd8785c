#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

#include "data/images/formats/image_size.hpp"

namespace data {

bool is_webp(std::string_view bytes);

// From the header alone; of an animation its canvas. Throws BadInput naming `source`.
ImageSize webp_size(std::string_view bytes, const std::string& source);

// Transparency is dropped; of an animation the first picture. Throws BadInput for a file that is
// cut off or damaged. -> [H, W, 3] uint8
at::Tensor decode_webp(std::string_view bytes, const std::string& source);

}  // namespace data
