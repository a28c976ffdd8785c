#pragma once

// Rewards of images that are rated batch by batch, some of them among the others of their prompt.
// A batch gives each image a row of measures: a score, or the features of a reward that compares.
// When the rows of all batches are together, they become scores.

#include <ATen/core/Tensor.h>

#include <vector>

#include "rewards/reward.hpp"

namespace rewards {

// Columns of these rewards' measures: 1 a score, D the features of one that compares.
int64_t measure_width(const std::vector<WeightedReward>& rewards);

// -> [B, W] fp64 on the CPU
at::Tensor measure(const std::vector<WeightedReward>& rewards, const RewardBatch& batch);

// measures: [P, W] of all images; prompt_ids: P, equal for images of one prompt, read only where a
// reward compares images -> [P, M] fp64 raw.
at::Tensor scores_of(const std::vector<WeightedReward>& rewards,
                     const at::Tensor& measures,
                     const std::vector<int64_t>& prompt_ids);

// Throws BadInput where a reward compares images and no prompt has two of them.
void check_groups(const std::vector<WeightedReward>& rewards,
                  const std::vector<int64_t>& prompt_ids);

}  // namespace rewards
