#pragma once

// What a user calls a reward and where it comes from: "pick=pickscore:/models/PickScore_v1",
// "mine=program:python3 scorer.py", "far=http://127.0.0.1:8000/score",
// "mix=0.7*clip_score + min(colourfulness, 3)".

#include <map>
#include <string>
#include <vector>

namespace rewards {

struct RewardSpec {
  std::string name;
  std::string kind;  // "program", "http", "expression", or a family of models
  std::string what;  // the command, address, formula, or path
  std::map<std::string, std::string> settings;  // of models: ";act=gelu;scale=cosine"
};

// The families of models that a definition may name, and what each one's file is.
struct Family {
  std::string name, description;
};
const std::vector<Family>& families();

// Throws BadInput for what is none of the forms above, a name that is not a word, and a setting
// that models do not have.
RewardSpec parse_definition(const std::string& text);

}  // namespace rewards
