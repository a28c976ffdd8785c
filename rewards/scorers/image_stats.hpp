#pragma once

// Rewards that are a formula of the pixels: no model, exact gradients.

#include "rewards/loader/entry.hpp"

namespace rewards {

// Mean luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). images: [B, 3, H, W] in [0, 1] -> [B] in
// [0, 1]
at::Tensor brightness(const at::Tensor& images);

// Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), their sRGB metric
// M(3):
//   rg = R - G, yb = (R + G) / 2 - B;  M = sqrt(sd_rg^2 + sd_yb^2) + 0.3 sqrt(mean_rg^2 +
//   mean_yb^2), R G B in 0..255.
// 0 is grey; their subjects call 15 slightly, 33 moderately, 59 quite, 109 extremely colourful.
// images: [B, 3, H, W] in [0, 1] -> [B]
at::Tensor colourfulness(const at::Tensor& images);

Reward brightness_reward();
Reward colourfulness_reward();

extern const RewardEntry kBrightnessEntry, kColourfulnessEntry;

}  // namespace rewards
