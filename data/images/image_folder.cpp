#include "data/images/image_folder.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/base/utf8.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr uint64_t kSplitSeed = 20240229;

void add(ImageFolder& folder,
         const fs::path& file,
         const std::string& caption,
         const std::string& where) {
  if (!is_utf8(caption)) {
    throw BadInput(where + ": caption: expected UTF-8 text, found other bytes; save it as UTF-8");
  }
  folder.files.push_back(file);
  folder.captions.push_back(trimmed(caption));
}

void add_from_metadata(ImageFolder& folder, const fs::path& metadata) {
  std::istringstream lines(read_file(metadata));
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (trimmed(line).empty()) continue;
    const std::string where = metadata.string() + ":" + std::to_string(number);
    const auto json = parse_json(line);
    const auto text_of = [&](const char* key) {
      if (json.is_object() && json.contains(key) && json.at(key).is_string())
        return json.at(key).get<std::string>();
      throw BadInput(where + R"(: expected {"file_name": "..", "text": ".."}, found no text )" +
                     key);
    };
    const fs::path file = folder.folder / text_of("file_name");
    if (!fs::is_regular_file(file)) {
      throw BadInput(where + ": file_name: expected an image of the folder, found no file " +
                     file.string());
    }
    add(folder, file, text_of("text"), where);
  }
}

void add_with_text_files(ImageFolder& folder) {
  for (const fs::path& file : list_images(folder.folder.string())) {
    const fs::path text = fs::path(file).replace_extension(".txt");
    add(folder, file, fs::exists(text) ? read_file(text) : "", text.string());
  }
}

// Decodes all images, when they fit.
void fill_cache(ImageFolder& folder, int64_t cache_bytes) {
  const auto count = static_cast<int64_t>(folder.files.size());
  const int64_t side = folder.resolution;
  if (count * 3 * side * side > cache_bytes) return;
  at::Tensor cache = at::empty({count, 3, side, side}, at::kByte);
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor image = read_image(folder.files[static_cast<size_t>(i)]);
    cache[i].copy_(to_uint8(middle_square(image, side)));
  }
  folder.cache = cache;
}

}  // namespace

at::Tensor middle_square(const at::Tensor& image, int64_t size) {
  const int64_t height = image.size(1), width = image.size(2), side = std::min(height, width);
  const at::Tensor square =
      image.narrow(1, (height - side) / 2, side).narrow(2, (width - side) / 2, side).contiguous();
  if (side == size) return square;
  return resize(square, size, size, side > size ? ResizeKind::kArea : ResizeKind::kBicubic);
}

ImageFolder open_image_folder(const fs::path& folder, const ImageFolderOptions& options) {
  TORCH_CHECK(options.resolution > 0, "open_image_folder: resolution must be > 0, got ",
              options.resolution);
  if (!fs::is_directory(folder)) {
    throw BadInput(folder.string() + ": expected a folder of images, found " +
                   (fs::exists(folder) ? "a file" : "nothing") + "; check the path");
  }
  ImageFolder result;
  result.folder = folder;
  result.resolution = options.resolution;
  const fs::path metadata = folder / "metadata.jsonl";
  fs::exists(metadata) ? add_from_metadata(result, metadata) : add_with_text_files(result);
  if (result.files.empty())
    throw BadInput(folder.string() + ": expected images, found none; check the path");
  const auto bare = std::find(result.captions.begin(), result.captions.end(), "");
  if (options.require_captions && bare != result.captions.end()) {
    const fs::path& file = result.files[static_cast<size_t>(bare - result.captions.begin())];
    throw BadInput(file.string() + ": expected a caption, found none; put it into " +
                   fs::path(file).replace_extension(".txt").filename().string() +
                   " beside it or into metadata.jsonl");
  }
  fill_cache(result, options.cache_bytes);
  return result;
}

ImageFolder open_images(std::vector<fs::path> files, int64_t resolution, int64_t cache_bytes) {
  ImageFolder result;
  result.resolution = resolution;
  result.captions.resize(files.size());
  result.files = std::move(files);
  fill_cache(result, cache_bytes);
  return result;
}

at::Tensor folder_images(const ImageFolder& folder, const at::Tensor& indices) {
  if (folder.cache.defined()) return from_uint8(folder.cache.index_select(0, indices));
  std::vector<at::Tensor> images;
  for (int64_t i = 0; i < indices.size(0); ++i) {
    const auto index = static_cast<size_t>(indices[i].item<int64_t>());
    images.push_back(middle_square(read_image(folder.files.at(index)), folder.resolution));
  }
  return at::stack(images);
}

FolderSplit split_folder(int64_t count, int64_t held_out) {
  TORCH_CHECK(count >= 2, "split_folder: count must be >= 2, got ", count);
  const int64_t kept = std::clamp<int64_t>(held_out, 1, count - 1);
  auto generator = at::detail::createCPUGenerator(kSplitSeed);
  const at::Tensor order = at::randperm(count, generator, at::kLong);
  return {order.narrow(0, kept, count - kept), order.narrow(0, 0, kept)};
}

}  // namespace data
