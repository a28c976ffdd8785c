#include "rewards/scorers/image_stats.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

// sqrt with a finite gradient at 0.
at::Tensor safe_sqrt(const at::Tensor& x) { return x.clamp_min(1e-12).sqrt(); }

}  // namespace

at::Tensor brightness(const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "brightness: images");
  const auto luma = at::tensor({0.299, 0.587, 0.114}, images.options());
  return images.mean({2, 3}).matmul(luma);
}

at::Tensor colourfulness(const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "colourfulness: images");
  const auto rgb = images * 255;
  const auto red = rgb.select(1, 0), green = rgb.select(1, 1),
             blue = rgb.select(1, 2);  // [B, H, W]
  const auto rg = red - green;
  const auto yb = (red + green) / 2 - blue;
  const auto rg_mean = rg.mean({1, 2}), yb_mean = yb.mean({1, 2});  // [B]
  const auto rg_variance = (rg - rg_mean.view({-1, 1, 1})).square().mean({1, 2});
  const auto yb_variance = (yb - yb_mean.view({-1, 1, 1})).square().mean({1, 2});
  return safe_sqrt(rg_variance + yb_variance) +
         0.3 * safe_sqrt(rg_mean.square() + yb_mean.square());
}

Reward brightness_reward() {
  return {.info = {.name = "brightness",
                   .unit = "0-1",
                   .low = 0,
                   .high = 1,
                   .differentiable = true,
                   .description = "mean luma (BT.601)"},
          .score = [](const RewardBatch& batch) { return brightness(batch.images); }};
}

Reward colourfulness_reward() {
  return {.info = {.name = "colourfulness",
                   .unit = "M(3)",
                   .low = 0,
                   .high = 110,
                   .differentiable = true,
                   .description = "Hasler and Suesstrunk 2003; 0 grey, 109 extremely colourful"},
          .score = [](const RewardBatch& batch) { return colourfulness(batch.images); }};
}

const RewardEntry kBrightnessEntry{.info = brightness_reward().info,
                                   .make = [](RewardLoader&) { return brightness_reward(); }};
const RewardEntry kColourfulnessEntry{.info = colourfulness_reward().info,
                                      .make = [](RewardLoader&) { return colourfulness_reward(); }};

}  // namespace rewards
