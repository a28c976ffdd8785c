#include "data/images/image_folder.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/captions.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr uint64_t kSplitSeed = 20240229;

// What metadata.jsonl or metadata.csv lists where there is one, else all images of the folder.
std::vector<ListedImage> images_of(const fs::path& folder) {
  std::vector<ListedImage> images;
  if (!list_in(folder).empty()) {
    images = listed_images(folder);
  } else {
    for (const auto& file : list_images(folder.string())) images.push_back({file, {}, ""});
  }
  std::error_code error;  // of a name that no file can have
  for (const auto& image : images) {
    if (!fs::is_regular_file(image.file, error))
      throw BadInput(image.where + ": file_name: expected an image of the folder, found no file " +
                     image.file.string());
  }
  return images;
}

// Throws BadInput for one that is missing where it is `required` or a list names the image.
std::string caption_of(const ListedImage& image, const Caption& caption, bool required) {
  if (!caption.text.empty() || (!required && image.where.empty())) return caption.text;
  if (image.where.empty())
    throw BadInput(image.file.string() + ": expected a caption, found none; put it into " +
                   fs::path(image.file).replace_extension(".txt").filename().string() +
                   " beside it or into metadata.jsonl");
  throw BadInput(image.where + R"(: expected {"file_name": "..", "text": ".."}, found no text)");
}

// Decodes all images, when they fit, else reads their headers. Those that cannot be read become
// faults.
void keep_readable(ImageFolder& folder, int64_t cache_bytes) {
  const auto count = static_cast<int64_t>(folder.files.size());
  const int64_t side = folder.resolution;
  const bool fits = count * 3 * side * side <= cache_bytes;
  if (fits) folder.cache = at::empty({count, 3, side, side}, at::kByte);
  std::vector<fs::path> files;
  std::vector<std::string> captions;
  for (size_t i = 0; i < folder.files.size(); ++i) {
    const fs::path& file = folder.files[i];
    try {
      if (fits)
        folder.cache[static_cast<int64_t>(files.size())].copy_(
            to_uint8(middle_square(read_image(file), side)));
      else
        image_size(read_file(file), file.string());
    } catch (const BadInput& fault) {
      folder.faults.emplace_back(fault.what());
      continue;
    }
    files.push_back(file);
    captions.push_back(folder.captions[i]);
  }
  folder.files = std::move(files);
  folder.captions = std::move(captions);
  if (fits) folder.cache = folder.cache.narrow(0, 0, static_cast<int64_t>(folder.files.size()));
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
  Captions captions;
  for (const auto& image : images_of(folder)) {
    const Caption caption = captions.of(image.file);
    if (!caption.fault.empty()) {
      result.faults.push_back(caption.fault);
      continue;
    }
    result.files.push_back(image.file);
    result.captions.push_back(caption_of(image, caption, options.require_captions));
  }
  keep_readable(result, options.cache_bytes);
  if (result.files.empty())
    throw BadInput(result.faults.empty()
                       ? folder.string() + ": expected images, found none; check the path"
                       : result.faults.front());
  return result;
}

ImageFolder open_images(std::vector<fs::path> files, int64_t resolution, int64_t cache_bytes) {
  ImageFolder result;
  result.resolution = resolution;
  result.captions.resize(files.size());
  result.files = std::move(files);
  keep_readable(result, cache_bytes);
  if (!result.faults.empty()) throw BadInput(result.faults.front());
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
