#pragma once

// Images in files and in memory. A picture is [3, H, W] fp32 in [0, 1], channels red, green, blue.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/images/png_text.hpp"

namespace data {

// PNG, JPEG, WebP (no animation), BMP, GIF (first frame), TGA or PSD. Grey becomes three equal
// channels, transparency is dropped, 16 bits become 8; an EXIF rotation is not applied. Throws
// BadInput when the file is missing, damaged, of another kind, or above 16384 pixels a side or 2^27
// pixels in all. -> [3, H, W] fp32, [0, 1]
at::Tensor read_image(const std::filesystem::path& path);

// The same from the bytes of a file; `source` names them in messages.
at::Tensor decode_image(std::string_view bytes, const std::string& source);

// The same as [H, W, 3] uint8, by one thread: for readers that run beside other work.
at::Tensor decode_pixels(std::string_view bytes, const std::string& source);

// image: [3, H, W] fp32, clamped to [0, 1] and rounded to 8 bits. Written atomically; see
// with_png_text for the text.
void write_png(const std::filesystem::path& path,
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

// A file: itself. A folder: its images by name, not those of folders inside. A pattern with * ? [:
// the files that it matches. Throws BadInput when nothing is found.
std::vector<std::filesystem::path> list_images(const std::string& file_folder_or_glob);
// Of several such, one after the other.
std::vector<std::filesystem::path> list_images(const std::vector<std::string>& places);

}  // namespace data
