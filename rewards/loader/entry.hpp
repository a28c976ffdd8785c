#pragma once

// The rows of the registry. Each stands at the end of the file that it describes.

#include <optional>
#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace rewards {

class RewardLoader;
struct RewardSpec;

// Weights of a reward that the user may name: an option of every command that scores images.
struct WeightsOption {
  const char* flag;      // "social": the option, and the key of RewardSources::weights
  const char* help;      // "social reward, a CLIP folder"
  const char* embedded;  // "rewards/social", in the models folder: used where nothing is named
  const char* missing;   // "a CLIP trained by ...; name its folder (--social FOLDER)"
};

// A reward with a name of its own.
struct RewardEntry {
  RewardInfo info;
  std::optional<WeightsOption> weights{};
  bool reads_clip = false;  // the shared CLIP, RewardSources::clip
  bool is_gold = false;     // knows the truth: judges runs afterwards, and never guards them
  const char* name_in_formulas = "";  // a shorter name, in --define NAME=FORMULA only
  Reward (*make)(RewardLoader& loader) = nullptr;
};

// What --define NAME=... makes a reward of: NAME=SCHEME:ARGUMENT;KEY=VALUE.
struct FamilyEntry {
  const char* name;
  const char* description = "";        // one line of `laurel score --list`; "": not listed
  std::vector<std::string> schemes{};  // before the colon; none: a text without a colon
  bool scheme_is_argument = false;     // the argument keeps its scheme (an address)
  // The keys it takes, where the argument is a path of weights; none: ';' is part of the argument.
  std::vector<std::string> settings{};
  bool reads_clip = false;       // the shared CLIP, where there is no ;clip=PATH
  bool compares_images = false;  // as RewardInfo says
  // The rewards that it consists of; null: none.
  std::vector<std::string> (*parts)(const RewardSpec& spec) = nullptr;
  Reward (*make)(const RewardSpec& spec, RewardLoader& loader) = nullptr;
};

}  // namespace rewards
