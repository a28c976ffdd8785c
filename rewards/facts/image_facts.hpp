#pragma once

// Facts about a picture, each a reward of its own, from which formulas are written:
// --define 'calm=empty_share - 2*noise_level/10'.

#include <ATen/core/Tensor.h>

#include <vector>

#include "rewards/loader/entry.hpp"

namespace rewards {

struct ImageFact {
  const char* name;
  const char* unit;
  double low, high;  // usual range
  bool differentiable;
  const char* description;
  at::Tensor (*measure)(const at::Tensor& images);  // [B, 3, H, W] in [0, 1] -> [B]
};
const std::vector<ImageFact>& image_facts();

// A row of the registry for each.
const std::vector<RewardEntry>& image_fact_entries();

}  // namespace rewards
