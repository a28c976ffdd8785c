#include "data/images/image_io.hpp"

#include <ATen/ATen.h>
#include <glob.h>

#include <algorithm>
#include <memory>
#include <opencv2/imgproc.hpp>

#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>
#include <webp/decode.h>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/shape.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr int kMaxSide = 16384;
constexpr int64_t kMaxPixels = int64_t{1} << 27;
constexpr const char* kKinds = "PNG, JPEG, WebP, BMP, GIF, TGA or PSD";

[[noreturn]] void unreadable(const std::string& source) {
  const char* reason = stbi_failure_reason();
  throw BadInput(
      source + ": not a readable image: expected " + kKinds + ", found " +
      (reason == nullptr ? "other bytes" : "bytes that fail with '" + std::string(reason) + "'"));
}

void check_size(int width, int height, const std::string& source) {
  if (width > kMaxSide || height > kMaxSide || int64_t{width} * height > kMaxPixels) {
    throw BadInput(source + ": image too large: expected at most " + std::to_string(kMaxSide) +
                   " pixels a side and 2^27 in all, found " + std::to_string(width) + " x " +
                   std::to_string(height) + "; shrink it first");
  }
}

// The decoder fills what is missing with grey: a JPEG whose end mark does not come after the start
// of its last scan.
bool is_cut_jpeg(std::string_view bytes) {
  if (!bytes.starts_with("\xFF\xD8")) return false;
  const size_t scan = bytes.rfind("\xFF\xDA"), end = bytes.rfind("\xFF\xD9");
  return end == std::string_view::npos || (scan != std::string_view::npos && end < scan);
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

bool is_image_name(const fs::path& path) {
  static const char* const kEndings[] = {".png", ".jpg", ".jpeg", ".webp",
                                         ".bmp", ".gif", ".tga",  ".psd"};
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return std::find(std::begin(kEndings), std::end(kEndings), ending) != std::end(kEndings);
}

std::vector<fs::path> images_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && is_image_name(entry.path())) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<fs::path> matches_of(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      const fs::path path = found.gl_pathv[i];
      if (!fs::is_directory(path) && is_image_name(path)) paths.push_back(path);
    }
  }
  ::globfree(&found);
  return paths;
}

}  // namespace

at::Tensor decode_pixels(std::string_view bytes, const std::string& source) {
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  int width = 0, height = 0;
  if (WebPGetInfo(data, bytes.size(), &width, &height)) {
    check_size(width, height, source);
    at::Tensor pixels = at::empty({height, width, 3}, at::kByte);
    if (!WebPDecodeRGBInto(data, bytes.size(), pixels.data_ptr<uint8_t>(), pixels.nbytes(),
                           3 * width))
      throw BadInput(source + ": not a readable image: expected " + kKinds +
                     ", found a WebP that is damaged, cut off or animated");
    return pixels;
  }
  const int count = static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
  int channels = 0;
  const bool known = stbi_info_from_memory(data, count, &width, &height, &channels);
  if (known) check_size(width, height, source);  // else the decoder below says why
  if (known && is_cut_jpeg(bytes))
    throw BadInput(source + ": not a readable image: a JPEG that is cut off; copy it again");
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(data, count, &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) unreadable(source);
  return at::from_blob(pixels.get(), {height, width, 3}, at::kByte).clone();
}

at::Tensor decode_image(std::string_view bytes, const std::string& source) {
  return from_uint8(decode_pixels(bytes, source).permute({2, 0, 1}).contiguous());
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

at::Tensor from_uint8(const at::Tensor& image) { return image.to(at::kFloat).div(255); }

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

std::vector<fs::path> list_images(const std::string& file_folder_or_glob) {
  const fs::path path = file_folder_or_glob;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  const bool folder = fs::is_directory(path, error);
  const auto paths = folder ? images_in(path) : matches_of(file_folder_or_glob);
  if (!paths.empty()) return paths;
  if (folder)
    throw BadInput(path.string() + ": no images in this folder: expected " + kKinds + " files");
  const bool pattern = file_folder_or_glob.find_first_of("*?[") != std::string::npos;
  throw BadInput(path.string() +
                 (pattern ? ": no image matches this pattern" : ": no such file or folder") +
                 "; check the path");
}

std::vector<fs::path> list_images(const std::vector<std::string>& places) {
  std::vector<fs::path> images;
  for (const auto& place : places) {
    const auto found = list_images(place);
    images.insert(images.end(), found.begin(), found.end());
  }
  return images;
}

}  // namespace data
