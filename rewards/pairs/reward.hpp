#pragma once

// A taste as a reward.

#include <memory>
#include <string>
#include <vector>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/pairs/taste.hpp"
#include "rewards/reward.hpp"

namespace rewards {

// The CLIP that a reward of this room reads: ;clip=PATH in any layout that laurel opens (with
// ;act, ;antialias, ;tokenizer as the family clip), else the shared one.
struct RoomClip {
  std::shared_ptr<ClipEmbedder> clip;
  std::string description;  // "": the shared one
};
RoomClip clip_of(const RewardSpec& spec, RewardLoader& loader);
// The same. Throws BadInput when it is not the CLIP whose fingerprint the reward's file holds.
RoomClip clip_of(const RewardSpec& spec, RewardLoader& loader, const at::Tensor& fingerprint);

// parts: the K rewards of `taste` in its order. Differentiable where all of them are.
Reward taste_reward(const std::shared_ptr<ClipEmbedder>& clip,
                    const Taste& taste,
                    const std::string& person,
                    const std::vector<Reward>& parts);

extern const FamilyEntry kPairsFamily;  // NAME=pairs:FOLDER;person=NAME

}  // namespace rewards
