#pragma once

// What a user calls a reward and where it comes from: "pick=pickscore:/models/PickScore_v1",
// "mine=program:python3 scorer.py", "far=http://127.0.0.1:8000/score",
// "mix=0.7*clip_score + min(colourfulness, 3)".

#include <map>
#include <string>
#include <vector>

#include "rewards/loader/entry.hpp"

namespace rewards {

struct RewardSpec {
  std::string name;
  std::string argument;                         // the command, address, formula, or path
  std::map<std::string, std::string> settings;  // of models: ";act=gelu;scale=cosine"
  const FamilyEntry* family = nullptr;
};

// Throws BadInput for a name that is not a word, an unknown family (the nearest one is named), an
// empty argument, and a setting that the family does not have.
RewardSpec parse_reward_spec(const std::string& text,
                             const std::vector<const FamilyEntry*>& families);

}  // namespace rewards
