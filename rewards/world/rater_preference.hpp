#pragma once

// The preference of the simulated raters of the built-in world: a formula of the pixels that reads
// neither captions nor the oracle. Most captions leave its parts open, so an image can score higher
// and still match its caption.

#include <ATen/core/Tensor.h>

#include "rewards/loader/entry.hpp"

namespace rewards {

// Parts of the preference, each [B] in [0, 1]. The ground is the median colour of the two outermost
// rows and columns of pixels; the figure (a soft mask) is what differs from it by more than about
// 0.25 in RGB.
struct PreferenceParts {
  at::Tensor ground;  // 0.75 luma + 0.25 clamp(0.5 + 2.5 (R - B)): light and warm is better
  at::Tensor
      balance;      // 1 - distance of the figure's centre of mass from the picture's / (0.35 side)
  at::Tensor size;  // figure's share of the picture / 0.2
  at::Tensor contrast;    // mean RGB distance of the figure from the ground / 1.2
  at::Tensor saturation;  // mean of max(RGB) - min(RGB) over the figure
  at::Tensor clarity;  // steepness of the figure's outline: 1 from half the contrast within a pixel
};
// images: [B, 3, H, W] in [0, 1]
PreferenceParts preference_parts(const at::Tensor& images);

// 1 + 9 (0.35 ground + 0.2 balance + 0.15 size + 0.12 contrast + 0.08 saturation + 0.1 clarity):
// [B] in [1, 10]. Without a figure only the ground counts.
at::Tensor rater_preference(const at::Tensor& images);

extern const RewardEntry kRaterPreferenceEntry;

}  // namespace rewards
