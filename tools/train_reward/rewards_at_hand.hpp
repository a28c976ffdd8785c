#pragma once

#include <vector>

#include "rewards/registry/registry.hpp"
#include "rewards/reward.hpp"

namespace tools {

// The differentiable rewards of the registry whose weights are at hand; `prompts`: also those that
// need one. A reward that does not fit --clip is left out, and said on stderr.
std::vector<rewards::WeightedReward> rewards_at_hand(const rewards::RewardSources& sources,
                                                     bool prompts);

}  // namespace tools
