#pragma once

#include <string>
#include <string_view>

namespace data {

// What a file of these kinds lacks, of which the decoder would make pixels up: "ends 300 bytes
// before its pixels do"; "" when all of the first picture is there, or the kind is another. BMP
// (uncompressed), GIF, PSD and TGA; `width` and `height` in pixels.
std::string missing_of_bmp(std::string_view bytes, int64_t width, int64_t height);
std::string missing_of_gif(std::string_view bytes);
std::string missing_of_psd(std::string_view bytes, int64_t width, int64_t height);
std::string missing_of_tga(std::string_view bytes, int64_t width, int64_t height);

}  // namespace data
