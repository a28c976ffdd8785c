#pragma once

// Every reward by its name.

#include <filesystem>
#include <string>
#include <vector>

#include "rewards/combine/reward_weights.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/sources.hpp"
#include "rewards/reward.hpp"

namespace rewards {

// In the order of `laurel score --list`, without loading anything.
const std::vector<const RewardEntry*>& reward_entries();
const std::vector<const FamilyEntry*>& reward_families();

// Loads a reward: one that the caller made, one of --define, or one of the registry. A formula may
// name any of them, and some by a shorter name. Throws BadInput for an unknown name (the nearest
// one is named) and for sources that are missing.
Reward make_reward(const std::string& name, const RewardSources& sources);

// The parts of a formula (Expression::names), with each model loaded once. Throws BadInput as
// above.
std::vector<Reward> make_formula_parts(const std::vector<std::string>& names,
                                       const RewardSources& sources);

// "aesthetic=1,clip_score=0.5" with each model loaded once and each image embedded once.
// "aesthetic.members" becomes the M members of that reward, which share its weight.
std::vector<WeightedReward> make_rewards(const std::string& specification,
                                         const RewardSources& sources);

// The rewards of a run: each model loaded once for both lists.
struct RewardSets {
  std::vector<WeightedReward> trained;    // their weighted sum is maximised
  std::vector<WeightedReward> evaluated;  // reported only: held-out and gold
};
// Two lists of parse_reward_weights; either may be empty. Throws BadInput as make_rewards, and for
// a name that stands in both.
RewardSets make_reward_sets(const std::vector<RewardWeight>& trained,
                            const std::vector<RewardWeight>& evaluated,
                            const RewardSources& sources);

// What a reward reads, without loading it.
struct RewardOrigin {
  std::vector<std::filesystem::path> weights;  // files and folders; none: a function of pixels
  bool is_known = true;          // false: a program, a server, or a reward that the caller made
  bool is_gold = false;          // knows the truth
  bool compares_images = false;  // of a prompt: see RewardInfo
};
// Throws BadInput as make_reward, for a formula that cannot be read.
RewardOrigin origin_of(const std::string& name, const RewardSources& sources);

// Whether two rewards read a file in common.
bool share_weights(const RewardOrigin& a, const RewardOrigin& b);

}  // namespace rewards
