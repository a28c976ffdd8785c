#pragma once

// Images in files and in memory. A picture is [3, H, W] fp32 in [0, 1], channels red, green, blue.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "data/images/formats/image_size.hpp"
#include "data/images/formats/png_text.hpp"

namespace data {

// PNG, JPEG, WebP, BMP, GIF, TGA or PSD, told by their first bytes; of an animation the first
// picture. Grey becomes three equal channels, transparency is dropped, 16 bits become 8, and the
// picture is turned as its Exif orientation says. Throws BadInput when the file is missing,
// damaged, cut off, of another kind, or above 16384 pixels a side or 2^27 pixels in all. -> [3, H,
// W] fp32, [0, 1]
at::Tensor read_image(const std::filesystem::path& path);

// The same from the bytes of a file; `source` names them in messages.
at::Tensor decode_image(std::string_view bytes, const std::string& source);

// The same as [H, W, 3] uint8, by one thread: for readers that run beside other work.
at::Tensor decode_pixels(std::string_view bytes, const std::string& source);

// The size of the picture as it is stored, from its header alone. Throws BadInput as above.
ImageSize image_size(std::string_view bytes, const std::string& source);

// image: [3, H, W] fp32, clamped to [0, 1] and rounded to 8 bits. Written atomically; see
// with_png_text for the text.
void write_png(const std::filesystem::path& path,
               const at::Tensor& image,
               const PngText& text = {});
// The same under a name that must be free; false when it is not.
bool write_new_png(const std::filesystem::path& path,
                   const at::Tensor& image,
                   const PngText& text = {});
std::string encode_png(const at::Tensor& image);

// A baseline JPEG at quality 1..100 (above 90 without chroma subsampling). image: [3, H, W] fp32,
// [0, 1].
std::string encode_jpeg(const at::Tensor& image, int quality);

// round(255 x) to the nearest, ties to even as NumPy does; values outside [0, 1] are clamped, NaN
// becomes 0. image: [...] fp32 -> uint8 of the same shape
at::Tensor to_uint8(const at::Tensor& image);
at::Tensor from_uint8(const at::Tensor& image);  // uint8 -> fp32 in [0, 1]

enum class ResizeKind { kBicubic, kArea, kLanczos };

// image: [3, H, W] fp32 -> [3, height, width], clamped to [0, 1]. OpenCV's kernels: kArea averages
// and is the one for shrinking; the other two interpolate without a low-pass filter.
at::Tensor resize(const at::Tensor& image, int64_t height, int64_t width, ResizeKind kind);

}  // namespace data
