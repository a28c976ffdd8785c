#pragma once

// Rewards that consist of several equal members: ensembles.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace rewards {

// More members than this in a file or folder are refused.
constexpr int64_t kMostMembers = 64;

// The reward whose score is the mean of its members' and whose disagreement is their variance (of
// the population). scores: batch -> [B, M] fp32
Reward ensemble_reward(const RewardInfo& info,
                       int64_t members,
                       std::function<at::Tensor(const RewardBatch& batch)> scores);
// The same of rewards that are scored one by one. At least one.
Reward ensemble_reward(const RewardInfo& info, const std::vector<Reward>& members);

// "aesthetic.members" -> "aesthetic"; another name: nothing.
std::optional<std::string> reward_of_members(const std::string& name);

// The members as rewards of their own, "aesthetic.1", "aesthetic.2", ..., which share the weight.
// Throws BadInput when the reward has none.
std::vector<WeightedReward> member_rewards(const Reward& reward, double weight);

// Members that lie in a folder, as of several CLIPs: what its members.json lists.
struct ListedMember {
  std::filesystem::path weights;  // relative to the folder in the file
  std::filesystem::path clip;     // empty: the weights need none
};
// The members of `path`; none where it is no folder with a members.json. Throws BadInput naming the
// file that is malformed and the member that is missing.
std::vector<ListedMember> listed_members(const std::filesystem::path& path);
// Writes members.json into the folder, with weights relative to it; of no members it removes the
// list of an earlier training.
void write_member_list(const std::filesystem::path& folder,
                       const std::vector<ListedMember>& members);

}  // namespace rewards
