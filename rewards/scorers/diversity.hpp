#pragma once

// How far an image lies from the others of its prompt, in the features of a CLIP.

#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"

namespace rewards {

// image_diversity of the CLIP's image embeddings.
Reward diversity_reward(const std::shared_ptr<ClipEmbedder>& clip);

extern const RewardEntry kDiversityEntry;
extern const FamilyEntry kDiversityFamily;

}  // namespace rewards
