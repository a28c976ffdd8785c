#pragma once

// The Social Reward: cosine of prompt and image by a CLIP that a community's choices finetuned
// (rewards/social/train.hpp).

#include <filesystem>
#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/reward.hpp"

namespace rewards {

RewardInfo social_info();

// `clip` is the finetuned one.
Reward social_reward(const std::shared_ptr<ClipEmbedder>& clip);

}  // namespace rewards
