#include "tools/studio/server/pictures.hpp"

#include <ATen/ATen.h>
#include <sys/random.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "data/images/image_io.hpp"

namespace studio {
namespace {

constexpr size_t kMostKept = size_t{64} << 20;  // bytes
constexpr int64_t kLargestPng = 512, kLongestSide = 1600;
constexpr int kJpegQuality = 95;

EncodedPicture encode(const std::filesystem::path& file) {
  at::Tensor image = data::read_image(file);  // [3, H, W]
  const int64_t height = image.size(1), width = image.size(2), longest = std::max(height, width);
  if (longest <= kLargestPng) return {.type = "image/png", .bytes = data::encode_png(image)};
  if (longest > kLongestSide) {
    const double factor = static_cast<double>(kLongestSide) / static_cast<double>(longest);
    const auto scaled = [&](int64_t side) {
      return std::max<int64_t>(1, std::lround(static_cast<double>(side) * factor));
    };
    image = data::resize(image, scaled(height), scaled(width), data::ResizeKind::kArea);
  }
  return {.type = "image/jpeg", .bytes = data::encode_jpeg(image, kJpegQuality)};
}

}  // namespace

std::string random_name() {
  static constexpr char kHex[] = "0123456789abcdef";
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
    throw std::runtime_error("the system gives no random numbers");
  std::string name;
  for (const unsigned char byte : bytes) name += {kHex[byte >> 4], kHex[byte & 15]};
  return name;
}

std::string Pictures::name_of(const std::filesystem::path& file) {
  const std::lock_guard lock(mutex_);
  const auto [place, fresh] = names_.try_emplace(file.string());
  if (fresh) {
    place->second = random_name();
    files_.emplace(place->second, file);
  }
  return place->second;
}

std::shared_ptr<const EncodedPicture> Pictures::encoded(const std::string& name) {
  std::filesystem::path file;
  {
    const std::lock_guard lock(mutex_);
    const auto known = files_.find(name);
    if (known == files_.end()) return nullptr;
    file = known->second;
    if (const auto found = kept_.find(name); found != kept_.end()) {
      used_.splice(used_.begin(), used_, found->second.used);
      return found->second.picture;
    }
  }
  const auto picture = std::make_shared<const EncodedPicture>(encode(file));
  const std::lock_guard lock(mutex_);
  keep(name, picture);
  return picture;
}

void Pictures::keep(const std::string& name, const std::shared_ptr<const EncodedPicture>& picture) {
  if (kept_.contains(name)) return;  // another thread was first
  used_.push_front(name);
  kept_.emplace(name, Kept{picture, used_.begin()});
  bytes_ += picture->bytes.size();
  while (bytes_ > kMostKept && used_.size() > 1) {
    const auto oldest = kept_.find(used_.back());
    bytes_ -= oldest->second.picture->bytes.size();
    kept_.erase(oldest);
    used_.pop_back();
  }
}

}  // namespace studio
