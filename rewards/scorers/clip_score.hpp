#pragma once

#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/reward.hpp"

namespace rewards {

// 100 cos(image, text). Hessel et al., "CLIPScore" (2021), eq. 1, have 2.5 max(cos, 0); the field
// reports 100 cos, which also keeps its gradient below 0. images, texts: [B, D] unit norm -> [B]
at::Tensor clip_score(const at::Tensor& images, const at::Tensor& texts);

RewardInfo clip_score_info();
Reward clip_score_reward(const std::shared_ptr<ClipEmbedder>& clip);

}  // namespace rewards
