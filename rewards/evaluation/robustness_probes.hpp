#pragma once

// Robustness probes of any reward: changes that must not matter, and attacks that must not pay.

#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace rewards {

struct RobustnessProbe {
  std::string name;
  double change = 0;  // mean of (changed - original), in deviations of the original scores
  double above = 0;   // share of the images whose changed version scores higher
};

// Invariance: JPEG at quality 90, a shift by one pixel, and the middle 0.9 of each side enlarged
// should leave the score unchanged. images: [B, 3, H, W], B >= 2.
std::vector<RobustnessProbe> probe_robustness(const Reward& reward, const RewardBatch& batch);
// Attacks: a blank image, noise, the prompt written into the image, doubled saturation, and the
// image at half size enlarged again should not raise the score.
std::vector<RobustnessProbe> probe_hacking(const Reward& reward, const RewardBatch& batch);

// Ascends `climbed` by the sign of its gradient within `reach` of each original pixel. Returns the
// mean gain of each of `watched`, in standard deviations of its scores of the batch.
std::vector<double> probe_ascent(const Reward& climbed,
                                 const std::vector<Reward>& watched,
                                 const RewardBatch& batch,
                                 int64_t steps = 100,
                                 double reach = 8.0 / 255);

}  // namespace rewards
