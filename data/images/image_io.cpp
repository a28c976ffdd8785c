#include "data/images/image_io.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>
#include <opencv2/imgproc.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/shape.hpp"
#include "data/images/formats/completeness.hpp"
#include "data/images/formats/exif_orientation.hpp"
#include "data/images/formats/jpeg_decode.hpp"
#include "data/images/formats/webp_decode.hpp"
#include "data/images/from_pixels.hpp"
#include "data/images/image_files.hpp"
#include "data/storage/new_file.hpp"

// stb_image allocates what a damaged file asks for; here at most what its largest picture needs.
static void* limited_malloc(size_t bytes);
static void* limited_realloc(void* block, size_t bytes);
#define STBI_MALLOC limited_malloc
#define STBI_REALLOC limited_realloc
#define STBI_FREE std::free
#define STBI_NO_JPEG
#define STBI_NO_PIC
#define STBI_NO_HDR
#define STBI_NO_PNM
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>

namespace fs = std::filesystem;

// Of one block, while a picture is decoded: 16 bits, four channels, and twice that for an
// interlaced PNG's growing buffer.
static thread_local size_t block_limit = SIZE_MAX;
static void* limited_malloc(size_t bytes) {
  return bytes <= block_limit ? std::malloc(bytes) : nullptr;
}
static void* limited_realloc(void* block, size_t bytes) {
  return bytes <= block_limit ? std::realloc(block, bytes) : nullptr;
}

namespace data {
namespace {

constexpr int64_t kMaxSide = 16384;
constexpr int64_t kMaxPixels = int64_t{1} << 27;

[[noreturn]] void unreadable(const std::string& source, const std::string& what) {
  throw BadInput(source + ": not a readable image: " + what);
}

const stbi_uc* start(std::string_view bytes) {
  return reinterpret_cast<const stbi_uc*>(bytes.data());
}
int length(std::string_view bytes) {
  return static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
}

ImageSize png_size(std::string_view bytes) {
  const auto number = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  };
  return {number(16), number(20)};  // of IHDR, which comes first
}

ImageSize stb_size(std::string_view bytes, const std::string& source) {
  if (is_png(bytes) && bytes.size() >= 24) return png_size(bytes);
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(start(bytes), length(bytes), &width, &height, &channels))
    return {width, height};
  const char* reason = stbi_failure_reason();
  if (const std::string kind = unread_kind(bytes); !kind.empty())
    unreadable(source, "expected " + std::string(kImageKinds) + ", found " + kind +
                           "; convert it first, to PNG or JPEG");
  unreadable(source,
             "expected " + std::string(kImageKinds) + ", found " +
                 (reason == nullptr ? "other bytes"
                                    : "bytes that fail with '" + std::string(reason) + "'"));
}

// "" when all pixels of the picture are there.
std::string missing_part(std::string_view bytes, const ImageSize& size) {
  if (bytes.starts_with("BM")) return missing_of_bmp(bytes, size.width, size.height);
  if (bytes.starts_with("GIF")) return missing_of_gif(bytes);
  if (bytes.starts_with("8BPS")) return missing_of_psd(bytes, size.width, size.height);
  if (is_png(bytes)) {  // the decoder says so, after it has made room for all of it
    constexpr int64_t kMostInflated = 1032;                    // times its length: deflate's best
    const int64_t least = size.height * (1 + size.width / 8);  // of one bit a pixel, and a filter
    const bool enough = static_cast<int64_t>(bytes.size()) * kMostInflated >= least;
    return enough ? "" : "is cut off: it is too short for its size";
  }
  return missing_of_tga(bytes, size.width, size.height);
}

bool has_empty_data(std::string_view png) {
  return png.find(std::string_view("\0\0\0\0IDAT", 8)) != std::string_view::npos;
}

// -> [H, W, 3] uint8
at::Tensor stb_pixels(std::string_view bytes, const std::string& source) {
  std::string without_empty;
  if (is_png(bytes) && has_empty_data(bytes)) {
    without_empty = without_empty_data(bytes, source);
    bytes = without_empty;
  }
  const ImageSize size = stb_size(bytes, source);
  const std::string missing = missing_part(bytes, size);
  if (!missing.empty()) unreadable(source, "the file " + missing + "; copy it again");
  int width = 0, height = 0, channels = 0;
  block_limit = 16 * static_cast<size_t>(size.pixels() + size.width + size.height) +
                2 * bytes.size() + (1 << 16);
  stbi_uc* const pixels =
      stbi_load_from_memory(start(bytes), length(bytes), &width, &height, &channels, 3);
  block_limit = SIZE_MAX;
  if (pixels == nullptr)
    unreadable(source, "it is damaged or cut off ('" + std::string(stbi_failure_reason()) +
                           "'); copy it again");
  const at::Tensor image = at::from_blob(pixels, {height, width, 3}, stbi_image_free, at::kByte);
  if (is_png(bytes)) check_png_pixels(bytes, source);
  return image;
}

// A kind of image files: told by its first bytes, its size from the header, its pixels.
struct ImageKind {
  bool (*is)(std::string_view bytes);
  ImageSize (*size)(std::string_view bytes, const std::string& source);
  at::Tensor (*pixels)(std::string_view bytes, const std::string& source);  // [H, W, 3] uint8
};
const std::vector<ImageKind>& kinds() {
  static const std::vector<ImageKind> all{
      {is_jpeg, jpeg_size, decode_jpeg},
      {is_webp, webp_size, decode_webp},
      {[](std::string_view) { return true; }, stb_size, stb_pixels},
  };
  return all;
}
const ImageKind& kind_of(std::string_view bytes) {
  return *std::find_if(kinds().begin(), kinds().end(),
                       [&](const ImageKind& kind) { return kind.is(bytes); });
}

void append_bytes(void* target, void* bytes, int count) {
  static_cast<std::string*>(target)->append(static_cast<const char*>(bytes),
                                            static_cast<size_t>(count));
}

// [3, H, W] fp32 -> [H, W, 3] uint8, contiguous, on the CPU
at::Tensor pixels_of(const at::Tensor& image, const char* what) {
  check_shape(image, {3, -1, -1}, what);
  return to_uint8(image).cpu().permute({1, 2, 0}).contiguous();
}

}  // namespace

ImageSize image_size(std::string_view bytes, const std::string& source) {
  const ImageSize size = kind_of(bytes).size(bytes, source);
  if (size.width <= 0 || size.height <= 0)
    unreadable(source, "its header gives it no size; the file is damaged, copy it again");
  if (size.width <= kMaxSide && size.height <= kMaxSide && size.pixels() <= kMaxPixels) return size;
  throw BadInput(source + ": image too large: expected at most " + std::to_string(kMaxSide) +
                 " pixels a side and 2^27 in all, found " + std::to_string(size.width) + " x " +
                 std::to_string(size.height) + "; shrink it first");
}

at::Tensor decode_pixels(std::string_view bytes, const std::string& source) {
  image_size(bytes, source);  // refuses before anything is allocated
  const at::Tensor pixels = kind_of(bytes).pixels(bytes, source);  // [H, W, 3]
  const int64_t orientation = exif_orientation(bytes);
  if (orientation == 1) return pixels;
  return upright(pixels.permute({2, 0, 1}), orientation).permute({1, 2, 0}).contiguous();
}

at::Tensor decode_image(std::string_view bytes, const std::string& source) {
  return from_pixels(decode_pixels(bytes, source));
}

at::Tensor read_image(const fs::path& path) { return decode_image(read_file(path), path.string()); }

std::string encode_png(const at::Tensor& image) {
  const at::Tensor pixels = pixels_of(image, "encode_png: image");  // [H, W, 3]
  const int height = static_cast<int>(pixels.size(0)), width = static_cast<int>(pixels.size(1));
  std::string png;
  const int done =
      stbi_write_png_to_func(append_bytes, &png, width, height, 3, pixels.data_ptr(), width * 3);
  TORCH_CHECK(done != 0, "encode_png: out of memory");
  return png;
}

void write_png(const fs::path& path, const at::Tensor& image, const PngText& text) {
  write_file(path, with_png_text(encode_png(image), text, path.string()));
}

bool write_new_png(const fs::path& path, const at::Tensor& image, const PngText& text) {
  return write_new_file(path, with_png_text(encode_png(image), text, path.string()));
}

std::string encode_jpeg(const at::Tensor& image, int quality) {
  TORCH_CHECK(quality >= 1 && quality <= 100, "encode_jpeg: quality must be in [1, 100], got ",
              quality);
  const at::Tensor pixels = pixels_of(image, "encode_jpeg: image");  // [H, W, 3]
  const int height = static_cast<int>(pixels.size(0)), width = static_cast<int>(pixels.size(1));
  std::string jpeg;
  const int done =
      stbi_write_jpg_to_func(append_bytes, &jpeg, width, height, 3, pixels.data_ptr(), quality);
  TORCH_CHECK(done != 0, "encode_jpeg: image could not be encoded");
  return jpeg;
}

at::Tensor to_uint8(const at::Tensor& image) {
  return at::nan_to_num(image.detach(), 0.0).clamp(0, 1).mul(255).round().to(at::kByte);
}

at::Tensor from_uint8(const at::Tensor& image) {
  return image.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).div_(255);
}

at::Tensor resize(const at::Tensor& image, int64_t height, int64_t width, ResizeKind kind) {
  check_shape(image, {3, -1, -1}, "resize: image");
  TORCH_CHECK(height > 0 && width > 0, "resize: sizes must be positive, got ", height, " x ",
              width);
  const at::Tensor source =
      image.detach().to(at::kFloat).permute({1, 2, 0}).contiguous();  // [H, W, 3]
  const at::Tensor target = at::empty({height, width, 3});
  const cv::Mat from(static_cast<int>(source.size(0)), static_cast<int>(source.size(1)), CV_32FC3,
                     source.data_ptr());
  cv::Mat to(static_cast<int>(height), static_cast<int>(width), CV_32FC3, target.data_ptr());
  const int method = kind == ResizeKind::kBicubic ? cv::INTER_CUBIC
                     : kind == ResizeKind::kArea  ? cv::INTER_AREA
                                                  : cv::INTER_LANCZOS4;
  cv::resize(from, to, to.size(), 0, 0, method);
  return target.permute({2, 0, 1}).contiguous().clamp_(0, 1);
}

}  // namespace data
