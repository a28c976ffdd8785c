#pragma once

// How much a rating on the way tells about the end.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {

// The share of the rewards' variance within prompts that the ratings explain: the square of their
// correlation, of values that are centred within each prompt and pooled; 0 where the correlation is
// negative or either does not vary. The interval is a bootstrap over the prompts. A row where
// either is not finite is left out.  ratings, rewards: [P]; prompt_ids: P
Interval explained_within_prompts(const at::Tensor& ratings,
                                  const at::Tensor& rewards,
                                  const std::vector<int64_t>& prompt_ids);

}  // namespace rewards
