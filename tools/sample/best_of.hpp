#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace tools {

struct BestCandidate {
  int64_t index = 0;
  at::Tensor scores;  // [M] raw; undefined without rewards
};

// The candidate with the largest weighted reward; the first one without rewards. Candidates are
// scored as they are written, rounded to 8 bits. images: [n, 3, H, W] in [0, 1]
BestCandidate best_candidate(const std::vector<rewards::WeightedReward>& rewards,
                             const at::Tensor& images,
                             const std::string& prompt);

}  // namespace tools
