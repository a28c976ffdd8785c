#pragma once

// Every reward by its name.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "rewards/custom/external.hpp"
#include "rewards/reward.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace rewards {

// Where rewards take their weights from, and where they compute.
struct RewardSources {
  std::filesystem::path clip;       // folder of a CLIP in Hugging Face's layout
  std::filesystem::path aesthetic;  // safetensors of an aesthetic head for that CLIP
  std::filesystem::path social{};   // folder of a CLIP trained by `laurel train-reward social`
  std::filesystem::path lvlm{};     // folder of a student trained by `laurel train-reward lvlm`
  int64_t jpeg_quality = 95;        // DDPO's
  at::Device device = at::kCPU;
  std::vector<std::string> definitions{};  // further rewards: see definition.hpp
  std::filesystem::path tokenizer{};       // CLIP's own vocabulary
  OutsideOptions outside{};
  std::map<std::string, Reward> given{};  // made by the caller; their names come before all others
  std::function<void(const std::string& line)> trace{};  // what of each model's file was mapped
};

// All names, in the order of `laurel score --list`, and what they measure, without loading
// anything.
std::vector<std::string> reward_names();
std::vector<RewardInfo> reward_infos();

// Loads a reward: of the table or defined. An expression may name either, and clip (clip_score) and
// jpeg_kb. Throws BadInput for an unknown name (the nearest one is named) and for sources
// that are missing.
Reward make_reward(const std::string& name, const RewardSources& sources);

// "aesthetic=1,clip_score=0.5" with each model loaded once and each image embedded once.
std::vector<WeightedReward> make_rewards(const std::string& specification,
                                         const RewardSources& sources);

// The rewards of a run: parsed once, each model loaded once for both lists.
struct RewardSets {
  std::vector<WeightedReward> trained;    // their combination is maximised
  std::vector<WeightedReward> evaluated;  // reported only: held-out and gold
};
// Two specifications as of make_rewards; either may be empty. Throws BadInput as make_rewards does,
// and for a name that stands in both.
RewardSets make_reward_sets(const std::string& trained,
                            const std::string& evaluated,
                            const RewardSources& sources);

}  // namespace rewards
