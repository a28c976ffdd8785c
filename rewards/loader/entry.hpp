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
  const char* name_in_formulas = "";  // a shorter name, in --define NAME=FORMULA only
  Reward (*make)(RewardLoader& loader) = nullptr;
};

// What --define NAME=... makes a reward of: NAME=SCHEME:ARGUMENT;KEY=VALUE.
struct FamilyEntry {
  const char* name;
  const char* description = "";         // one line of `laurel score --list`; "": not listed
  std::vector<std::string> schemes{};   // before the colon; none: a text without a colon
  bool scheme_is_argument = false;      // the argument keeps its scheme (an address)
  std::vector<std::string> settings{};  // the keys it takes; none: ';' is part of the argument
  Reward (*make)(const RewardSpec& spec, RewardLoader& loader) = nullptr;
};

}  // namespace rewards
