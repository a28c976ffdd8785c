#include "tools/gallery/pictures.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/images/pixel_budget.hpp"

namespace gallery {
namespace {

constexpr int64_t kKilo = 1000, kMega = 1000000;
constexpr int64_t kPixelsAtOnce = int64_t{1} << 26;  // by all threads, unless it is one picture
constexpr int kSmallQuality =
    92;  // JPEG quality of small pictures, which are viewed pixel by pixel

// Whether the files, each and in total, are small enough to be embedded unchanged.
bool embeds_originals(const Collection& all, const PictureOptions& options) {
  int64_t total = 0;
  for (const auto& image : all.images) {
    std::error_code error;
    const auto size = static_cast<int64_t>(std::filesystem::file_size(image.path, error));
    if (!error && size <= options.original_kb * kKilo) total += size;
  }
  return total <= options.originals_total_mb * kMega;
}

char kind_of(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return 'p';
  if (bytes.starts_with("\xff\xd8")) return 'j';
  return 0;
}

Picture make_picture(const std::filesystem::path& path,
                     const PictureOptions& options,
                     bool originals,
                     data::PixelBudget& budget) {
  const std::string bytes = data::read_file(path);
  const data::PixelLease lease(budget, data::image_size(bytes, path.string()).pixels());
  at::Tensor image = data::decode_image(bytes, path.string());  // [3, H, W], [0, 1]
  Picture picture{.line = {}, .width = image.size(2), .height = image.size(1), .fault = {}};
  const int64_t longest = std::max(picture.width, picture.height);
  const bool small = longest <= options.thumbnail;
  const char kind = kind_of(bytes);
  if (originals && small && kind &&
      static_cast<int64_t>(bytes.size()) <= options.original_kb * kKilo) {
    picture.line = kind + data::base64(bytes);
    return picture;
  }
  if (!small) {
    const double factor = static_cast<double>(options.thumbnail) / static_cast<double>(longest);
    const auto scaled = [&](int64_t side) {
      return std::max<int64_t>(1, std::lround(static_cast<double>(side) * factor));
    };
    image =
        data::resize(image, scaled(picture.height), scaled(picture.width), data::ResizeKind::kArea);
  }
  const int quality = small ? std::max(kSmallQuality, static_cast<int>(options.quality))
                            : static_cast<int>(options.quality);
  picture.line = "j" + data::base64(data::encode_jpeg(image, quality));
  return picture;
}

}  // namespace

std::vector<Picture> make_pictures(const Collection& all, const PictureOptions& options) {
  std::vector<Picture> pictures(all.images.size());
  const bool originals = embeds_originals(all, options);
  data::PixelBudget budget(kPixelsAtOnce);
  at::parallel_for(0, static_cast<int64_t>(pictures.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const auto place = static_cast<size_t>(k);
      try {
        pictures[place] = make_picture(all.images[place].path, options, originals, budget);
      } catch (const data::BadInput& error) {
        pictures[place].fault = error.what();
      }
    }
  });
  return pictures;
}

}  // namespace gallery
