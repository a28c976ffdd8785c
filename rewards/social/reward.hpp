#pragma once

// The Social Reward: cosine of prompt and image by a CLIP that was finetuned on a community's
// choices (rewards/social/train.hpp).

#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"

namespace rewards {

// `clip` is the finetuned one.
Reward social_reward(const std::shared_ptr<ClipEmbedder>& clip);

extern const RewardEntry kSocialEntry;

}  // namespace rewards
