#include "rewards/scorers/jpeg_size.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "data/images/image_io.hpp"
#include "rewards/loader/loader.hpp"

namespace rewards {

at::Tensor jpeg_kilobytes(const at::Tensor& images, int quality) {
  data::check_shape(images, {-1, 3, -1, -1}, "jpeg_kilobytes: images");
  TORCH_CHECK(quality >= 1 && quality <= 100, "jpeg_kilobytes: quality: got ", quality);
  const auto pixels = images.detach().to(at::kCPU, at::kFloat);
  std::vector<float> sizes;
  for (int64_t i = 0; i < pixels.size(0); ++i) {
    sizes.push_back(static_cast<float>(data::encode_jpeg(pixels[i], quality).size()) / 1000);
  }
  return at::tensor(sizes, at::kFloat).to(images.device());
}

Reward jpeg_compressibility_reward(int quality) {
  return {.info = {.name = "jpeg_compressibility",
                   .unit = "-kB",
                   .low = -250,
                   .high = 0,
                   .description = "minus the size as a JPEG (DDPO); flat images win"},
          .score = [quality](const RewardBatch& batch) {
            return -jpeg_kilobytes(batch.images, quality);
          }};
}

Reward jpeg_incompressibility_reward(int quality) {
  return {.info = {.name = "jpeg_incompressibility",
                   .unit = "kB",
                   .low = 0,
                   .high = 250,
                   .description = "size as a JPEG (DDPO); busy images win"},
          .score = [quality](const RewardBatch& batch) {
            return jpeg_kilobytes(batch.images, quality);
          }};
}

namespace {

constexpr int kQuality = 95;  // of the infos, which do not depend on it
int quality_of(const RewardLoader& loader) {
  return static_cast<int>(loader.sources().jpeg_quality);
}

}  // namespace

const RewardEntry kJpegCompressibilityEntry{
    .info = jpeg_compressibility_reward(kQuality).info,
    .make = [](RewardLoader& loader) { return jpeg_compressibility_reward(quality_of(loader)); }};
const RewardEntry kJpegIncompressibilityEntry{
    .info = jpeg_incompressibility_reward(kQuality).info,
    .name_in_formulas = "jpeg_kb",
    .make = [](RewardLoader& loader) { return jpeg_incompressibility_reward(quality_of(loader)); }};

}  // namespace rewards
