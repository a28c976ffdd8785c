#include "rewards/loader/members.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr const char* kMemberList = "members.json";
constexpr const char* kMembersSuffix = ".members";

fs::path member_path(const nlohmann::json& member,
                     const char* key,
                     const fs::path& folder,
                     const std::string& where) {
  const auto found = member.find(key);
  if (found == member.end()) return {};
  if (!found->is_string())
    throw BadInput(where + ": " + key + ": expected a path, found " + data::to_text(*found));
  const fs::path path = folder / found->get<std::string>();
  if (!fs::exists(path))
    throw BadInput(where + ": " + key + ": " + path.string() +
                   " is missing; put it there, or train the members again");
  return path;
}

}  // namespace

Reward ensemble_reward(const RewardInfo& info,
                       int64_t members,
                       std::function<at::Tensor(const RewardBatch& batch)> scores) {
  Reward reward{.info = info, .score = {}};
  reward.score = [scores](const RewardBatch& batch) { return scores(batch).mean(1); };
  reward.disagreement = [scores](const RewardBatch& batch) {
    return scores(batch).var(1, /*unbiased=*/false);
  };
  reward.members = std::move(scores);
  reward.member_count = members;
  return reward;
}

Reward ensemble_reward(const RewardInfo& info, const std::vector<Reward>& members) {
  TORCH_CHECK(!members.empty(), "ensemble_reward: expected at least one member");
  return ensemble_reward(info, static_cast<int64_t>(members.size()),
                         [members](const RewardBatch& batch) {
                           std::vector<at::Tensor> columns;
                           for (const auto& member : members)
                             columns.push_back(member.score(batch).to(at::kFloat));
                           return at::stack(columns, 1);
                         });
}

std::optional<std::string> reward_of_members(const std::string& name) {
  const std::string suffix = kMembersSuffix;
  if (name.size() <= suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

std::vector<WeightedReward> member_rewards(const Reward& reward, double weight) {
  if (!reward.members)
    throw BadInput(reward.info.name + kMembersSuffix + ": " + reward.info.name +
                   " has no members; train it with --members 5, or name it without " +
                   kMembersSuffix);
  std::vector<WeightedReward> all;
  for (int64_t m = 0; m < reward.member_count; ++m) {
    Reward member{.info = reward.info, .score = {}};
    member.info.name += "." + std::to_string(m + 1);
    member.info.member_of = reward.info.name;
    member.score = [scores = reward.members, m](const RewardBatch& batch) {
      return scores(batch).select(1, m);
    };
    if (m == 0) member.disagreement = reward.disagreement;  // once for all of them
    all.push_back({member, weight / static_cast<double>(reward.member_count)});
  }
  return all;
}

std::vector<ListedMember> listed_members(const fs::path& path) {
  const fs::path file = path / kMemberList;
  if (!fs::exists(file)) return {};
  const auto list = data::read_json_object(file);
  const auto found = list.find("members");
  if (found == list.end() || !found->is_array() || found->empty() ||
      found->size() > static_cast<size_t>(kMostMembers))
    throw BadInput(file.string() + ": members: expected a list of 1 to " +
                   std::to_string(kMostMembers) + " objects with \"weights\"");
  std::vector<ListedMember> members;
  for (const auto& member : *found) {
    const std::string where = file.string() + ": member " + std::to_string(members.size() + 1);
    if (!member.is_object() || !member.contains("weights"))
      throw BadInput(where + ": expected an object with \"weights\" (a path)");
    members.push_back(
        {member_path(member, "weights", path, where), member_path(member, "clip", path, where)});
  }
  return members;
}

void write_member_list(const fs::path& folder, const std::vector<ListedMember>& members) {
  if (members.empty()) {
    fs::remove(folder / kMemberList);
    return;
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& member : members) {
    nlohmann::ordered_json row{{"weights", fs::relative(member.weights, folder).string()}};
    if (!member.clip.empty()) row["clip"] = fs::weakly_canonical(member.clip).string();
    list.push_back(row);
  }
  data::write_file(folder / kMemberList,
                   data::to_text(nlohmann::ordered_json{{"members", list}}, 2) + "\n");
}

}  // namespace rewards
