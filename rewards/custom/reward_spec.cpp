#include "rewards/custom/reward_spec.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"

namespace rewards {
namespace {

bool is_name(const std::string& text) {
  return !text.empty() && !std::isdigit(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

// "PATH;key=value;..." into what and settings.
void read_settings(const std::string& text, RewardSpec& definition, const std::string& where) {
  static const std::vector<std::string> kKnown = {"act",       "scale",     "clip",
                                                  "antialias", "threshold", "tokenizer"};
  std::istringstream parts(text);
  std::getline(parts, definition.what, ';');
  for (std::string part; std::getline(parts, part, ';');) {
    const size_t sign = part.find('=');
    const std::string key = data::trimmed(part.substr(0, sign));
    if (sign == std::string::npos || std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      std::string all;
      for (const auto& known : kKnown) all += (all.empty() ? "" : ", ") + known;
      throw data::BadInput(where + ": ';" + part + "': expected KEY=VALUE with one of " + all);
    }
    definition.settings[key] = data::trimmed(part.substr(sign + 1));
  }
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"clip", "CLIP score: a folder or file of any CLIP (Hugging Face, OpenCLIP, OpenAI's .pt)"},
      {"social", "Social Reward: OpenAI's CLIP L/14 finetuned, a file"},
      {"hpsv2", "HPSv2 and v2.1: HPS_v2_compressed.pt, HPS_v2.1_compressed.pt"},
      {"pickscore", "PickScore: its Hugging Face folder or file"},
      {"mps", "MPS (overall): a safetensors file with cross_model.* beside the CLIP"},
      {"aesthetic", "LAION's aesthetic head v1 or v2, a file; ;clip=PATH names the CLIP under it"},
      {"imagereward", "ImageReward: ImageReward.pt with vocab.txt of bert-base-uncased beside it"},
  };
  return all;
}

RewardSpec parse_definition(const std::string& text) {
  const std::string where = "define '" + text + "'";
  const size_t sign = text.find('=');
  RewardSpec definition;
  if (sign != std::string::npos) definition.name = data::trimmed(text.substr(0, sign));
  if (!is_name(definition.name))
    throw data::BadInput(where +
                         ": expected NAME=program:COMMAND, NAME=http://..., "
                         "NAME=FAMILY:PATH or NAME=FORMULA");
  const std::string what = data::trimmed(text.substr(sign + 1));
  if (what.empty()) throw data::BadInput(where + ": expected something after '='");
  const std::string head = what.substr(0, what.find(':'));
  if (head == "http" || head == "https") {
    definition.kind = "http";
    definition.what = what;
  } else if (head == "program") {
    definition.kind = head;
    definition.what = data::trimmed(what.substr(head.size() + 1));
    if (definition.what.empty()) throw data::BadInput(where + ": expected a command");
  } else if (head.size() < what.size()) {
    std::vector<std::string> names;
    for (const auto& family : families()) names.push_back(family.name);
    if (std::find(names.begin(), names.end(), head) == names.end()) {
      const std::string near = data::nearest(head, names);
      throw data::BadInput(where + ": unknown family '" + head + "'" +
                           (near.empty() ? "" : "; did you mean " + near + "?") +
                           " (`laurel score --list` shows all)");
    }
    definition.kind = head;
    read_settings(data::trimmed(what.substr(head.size() + 1)), definition, where);
  } else {
    definition.kind = "expression";
    definition.what = what;
  }
  return definition;
}

}  // namespace rewards
