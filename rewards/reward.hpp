#pragma once

// What a reward is. finetune includes this header and rewards/combine, nothing else of rewards.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/images/edit_dataset.hpp"

namespace rewards {

struct RewardBatch {
  at::Tensor images;                      // [B, 3, H, W] fp32 in [0, 1]
  std::vector<std::string> prompts;       // B; may be empty when no reward needs a prompt
  std::vector<data::EditTriple> edits{};  // B of edited images: what they were made from; else none
};

// What a reward measures, for tables, checks and galleries.
struct RewardInfo {
  std::string name{};        // "aesthetic", also the column's title
  std::string unit{};        // "1-10", "cosine x 100", "kB"
  double low = 0, high = 1;  // usual range of its values, in raw units
  bool needs_prompt = false;
  bool differentiable = false;  // with respect to the images
  // Rates an image among the others of its prompt: see Reward::group.
  bool compares_images = false;
  std::string description{};  // one line
  std::string model{};        // of the loaded weights: layout, sizes, activation; empty: none
  std::string member_of{};    // the reward that it is one member of; empty: none
};

// How a reward rates images among the others of their prompts. What it sees of an image alone is a
// row of features, so that a group may be spread over batches and processes.
struct GroupScore {
  int64_t width = 0;                                             // D
  std::function<at::Tensor(const RewardBatch& batch)> features;  // -> [B, D] fp32
  // features: [P, D] of all images; prompt_ids: P, equal for images of one prompt -> [P] fp64, raw
  // units, higher is better
  std::function<at::Tensor(const at::Tensor& features, const std::vector<int64_t>& prompt_ids)>
      score;
};

// A named function from images to scores. The caller decides whether gradients are recorded.
struct Reward {
  RewardInfo info;
  std::function<at::Tensor(const RewardBatch& batch)>
      score;  // -> [B] fp32, raw units, higher is better; of a group's reward it throws BadInput
  // Variance among the members, where the reward is an ensemble; empty: it is none. -> [B] fp32
  std::function<at::Tensor(const RewardBatch& batch)> disagreement{};
  // The scores of its `member_count` members, whose mean is `score`; empty: there are none, or they
  // cannot be had one by one. -> [B, M] fp32
  std::function<at::Tensor(const RewardBatch& batch)> members{};
  int64_t member_count = 0;
  // Set where info.compares_images.
  std::optional<GroupScore> group{};
};

// A reward and its weight among several that are combined.
struct WeightedReward {
  Reward reward;
  double weight = 1;
};

}  // namespace rewards
