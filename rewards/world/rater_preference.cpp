#include "rewards/world/rater_preference.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

constexpr int64_t kBorder = 2;  // width in pixels of the border that the ground is read from
constexpr double kFigureDistance = 0.25;  // in RGB; larger than the shading of a ground
constexpr double kFigureSoftness = 0.03;
constexpr double kLeastFigure = 0.005;  // share of the image; below, there is no figure

// images: [B, 3, H, W] -> [B, 3]
at::Tensor ground_colour(const at::Tensor& images) {
  const int64_t height = images.size(2), width = images.size(3);
  const auto ring =
      at::cat({images.slice(2, 0, kBorder).flatten(2), images.slice(2, height - kBorder).flatten(2),
               images.slice(3, 0, kBorder).flatten(2), images.slice(3, width - kBorder).flatten(2)},
              2);
  return std::get<0>(ring.median(2));
}

at::Tensor luma(const at::Tensor& colour) {  // [B, 3] -> [B]
  return colour.matmul(at::tensor({0.299, 0.587, 0.114}, colour.options()));
}

// Distance of the mask's centre of mass from the image's centre, in image sides. mask: [B, H, W],
// mass: [B]
at::Tensor imbalance(const at::Tensor& mask, const at::Tensor& mass) {
  const auto offsets = [&](int64_t size) {
    return (at::arange(size, mask.options()) + 0.5) / static_cast<double>(size) - 0.5;
  };
  const auto x = (mask.sum(1) * offsets(mask.size(2))).sum(1) / mass;
  const auto y = (mask.sum(2) * offsets(mask.size(1))).sum(1) / mass;
  return (x.square() + y.square()).sqrt();
}

// Steepness of the outlines: the mean of |gradient| weighted by |gradient|. distance: [B, H, W],
// from the ground's colour.
at::Tensor steepness(const at::Tensor& distance) {
  const auto dx = (distance.slice(2, 1) - distance.slice(2, 0, -1)).slice(1, 0, -1);
  const auto dy = (distance.slice(1, 1) - distance.slice(1, 0, -1)).slice(2, 0, -1);
  const auto square = dx.square() + dy.square();
  return square.sum({1, 2}) / square.sqrt().sum({1, 2}).clamp_min(1e-6);
}

}  // namespace

PreferenceParts preference_parts(const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "rater_preference: images");
  const auto ground = ground_colour(images);                                           // [B, 3]
  const auto distance = (images - ground.view({-1, 3, 1, 1})).square().sum(1).sqrt();  // [B, H, W]
  const auto mask = ((distance - kFigureDistance) / kFigureSoftness).sigmoid();
  const auto mass = mask.sum({1, 2}).clamp_min(1e-3);
  const auto share = mask.mean({1, 2});
  const auto present = (share > kLeastFigure).to(images.scalar_type());
  const auto over_figure = [&](const at::Tensor& x) { return (x * mask).sum({1, 2}) / mass; };
  const auto contrast = over_figure(distance);
  const auto chroma = images.amax(1) - images.amin(1);
  const auto warmth = (0.5 + 2.5 * (ground.select(1, 0) - ground.select(1, 2))).clamp(0, 1);
  return {
      .ground = 0.75 * luma(ground) + 0.25 * warmth,
      .balance = present * (1 - imbalance(mask, mass) / 0.35).clamp(0, 1),
      .size = present * (share / 0.2).clamp_max(1),
      .contrast = present * (contrast / 1.2).clamp_max(1),
      .saturation = present * over_figure(chroma).clamp(0, 1),
      .clarity = present * (steepness(distance) / (0.5 * contrast.clamp_min(1e-3))).clamp_max(1)};
}

at::Tensor rater_preference(const at::Tensor& images) {
  const PreferenceParts parts = preference_parts(images);
  return 1 + 9 * (0.35 * parts.ground + 0.2 * parts.balance + 0.15 * parts.size +
                  0.12 * parts.contrast + 0.08 * parts.saturation + 0.1 * parts.clarity);
}

const RewardEntry kRaterPreferenceEntry{
    .info = {.name = "rater_preference",
             .unit = "1-10",
             .low = 1,
             .high = 10,
             .description = "gold: what the simulated raters prefer, without their noise"},
    .is_gold = true,
    .make = [](RewardLoader&) {
      return Reward{.info = kRaterPreferenceEntry.info, .score = [](const RewardBatch& batch) {
                      return rater_preference(batch.images);
                    }};
    }};

}  // namespace rewards
