#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

#include "data/images/formats/image_size.hpp"

namespace data {

bool is_jpeg(std::string_view bytes);

// From the header alone. Throws BadInput naming `source` when it is damaged.
ImageSize jpeg_size(std::string_view bytes, const std::string& source);

// libjpeg-turbo's pixels as Pillow has them after convert("RGB"): accurate inverse transform,
// smooth upsampling of colours, CMYK inverted as Adobe writes it. What follows the end of the
// picture is passed over. Throws BadInput for a file that is cut off or damaged, and for one of
// more than 100 scans: each of them costs a pass over the picture. -> [H, W, 3] uint8
at::Tensor decode_jpeg(std::string_view bytes, const std::string& source);

}  // namespace data
