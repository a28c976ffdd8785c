#pragma once

#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"

namespace rewards {

// 100 cos(image, text). Hessel et al., "CLIPScore" (2021), eq. 1, define 2.5 max(cos, 0); the field
// reports 100 cos, whose gradient does not vanish below 0. images, texts: [B, D] unit norm -> [B]
at::Tensor clip_score(const at::Tensor& images, const at::Tensor& texts);

Reward clip_score_reward(const std::shared_ptr<ClipEmbedder>& clip);

extern const RewardEntry kClipScoreEntry;
// The same by a second CLIP that shares no weights with the first: it judges what is trained on the
// first one's rewards.
extern const RewardEntry kJudgeClipScoreEntry;

}  // namespace rewards
