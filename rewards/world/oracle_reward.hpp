#pragma once

// The gold reward of the built-in world: an exact reader of its images checks the caption. Learned
// rewards are compared with it; nothing is trained on it unless a command names it.

#include "rewards/loader/entry.hpp"

namespace rewards {

// The share of the caption's claims (counts, shapes, colours, sizes, places, relations, background)
// that hold in the image: 0-1. images: [B, 3, 64, 64]. Throws BadInput for a prompt outside the
// world's grammar.
Reward oracle_reward();

// The same in two parts without a common claim. Simulated judges and communities use the first, so
// the second remains a gold reward for what is trained on them.
//   kObjects  how many, which shapes and colours      `oracle_objects`
//   kLayout   sizes, places, relations, background    `oracle_layout`
enum class OraclePart { kAll, kObjects, kLayout };
Reward oracle_part_reward(OraclePart part);

extern const RewardEntry kOracleEntry, kOracleObjectsEntry, kOracleLayoutEntry;

// The share of the part's claims that hold; 1 where the caption makes none. images: [B, 3, 64, 64]
// -> [B]
at::Tensor claim_shares(const at::Tensor& images,
                        const std::vector<std::string>& prompts,
                        OraclePart part);

}  // namespace rewards
