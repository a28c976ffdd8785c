#pragma once

// What a reward is. This header is all that other folders see of one.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace rewards {

struct RewardBatch {
  at::Tensor images;                 // [B, 3, H, W] fp32 in [0, 1]
  std::vector<std::string> prompts;  // B of them; may be empty where no reward needs them
};

// What a reward measures, for tables, checks and galleries.
struct RewardInfo {
  std::string name{};        // "aesthetic": the column's name
  std::string unit{};        // "1-10", "cosine x 100", "kB"
  double low = 0, high = 1;  // the range that its values usually fall in, in raw units
  bool needs_prompt = false;
  bool differentiable = false;  // with respect to the images
  std::string description{};    // one line
  std::string model{};          // what was loaded: layout, sizes, activation; empty: no model
};

// A named axis: a function from images to scores. The caller decides on no-grad.
struct Reward {
  RewardInfo info;
  std::function<at::Tensor(const RewardBatch& batch)>
      score;  // -> [B] fp32, raw units, higher is better
};

// Several axes with weights, optimised as one number.
struct WeightedReward {
  Reward reward;
  double weight = 1;
};

}  // namespace rewards
