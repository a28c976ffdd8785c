#pragma once

#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/pairs/examples.hpp"
#include "rewards/reward.hpp"

namespace rewards {

// How like the examples an image is. Differentiable, with gradient 0 where the cap is reached.
Reward examples_reward(const std::shared_ptr<ClipEmbedder>& clip, const Examples& examples);

extern const FamilyEntry kExamplesFamily;  // NAME=examples:FOLDER

}  // namespace rewards
