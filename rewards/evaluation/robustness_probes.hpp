#pragma once

// What a reward should be deaf to, and what it should not be fooled by. Works on any reward.

#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace rewards {

struct RobustnessProbe {
  std::string name;
  double change = 0;  // mean of (changed - original), in deviations of the original scores
  double above = 0;   // share of the images whose changed version scores higher
};

// A harmless change must leave the score: JPEG at quality 90, a shift by one pixel, the middle 0.9
// of each side enlarged. images: [B, 3, H, W], B >= 2.
std::vector<RobustnessProbe> probe_robustness(const Reward& reward, const RewardBatch& batch);
// A cheap change must not win: a blank image, noise, the prompt written into the image, saturation
// doubled, the image at half size and enlarged again.
std::vector<RobustnessProbe> probe_hacking(const Reward& reward, const RewardBatch& batch);

// Ascends `climbed` by the sign of its gradient, each pixel by at most `reach` in all. Returns the
// mean gain of each of the `watched`, in deviations of their own scores of the batch.
std::vector<double> probe_ascent(const Reward& climbed,
                                 const std::vector<Reward>& watched,
                                 const RewardBatch& batch,
                                 int64_t steps = 100,
                                 double reach = 8.0 / 255);

}  // namespace rewards
