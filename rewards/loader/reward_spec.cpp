#include "rewards/loader/reward_spec.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/utf8.hpp"

namespace rewards {
namespace {

bool is_name(const std::string& text) {
  return !text.empty() && !std::isdigit(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// Of "SCHEME:ARGUMENT". A colon before a quotation mark is one of a formula, clip:"words".
size_t scheme_end(const std::string& text) {
  const size_t colon = text.find(':');
  return text.compare(std::min(colon, text.size()), 2, ":\"") == 0 ? std::string::npos : colon;
}

// The family of "SCHEME:ARGUMENT", or of a text without a scheme.
const FamilyEntry& family_of(const std::string& text,
                             const std::vector<const FamilyEntry*>& families,
                             const std::string& where) {
  const size_t colon = scheme_end(text);
  const std::string scheme = text.substr(0, colon);
  std::vector<std::string> names;
  for (const auto* family : families) {
    const bool fits =
        colon == std::string::npos ? family->schemes.empty() : contains(family->schemes, scheme);
    if (fits) return *family;
    names.insert(names.end(), family->schemes.begin(), family->schemes.end());
  }
  const std::string near = data::nearest(scheme, names);
  throw data::BadInput(where + ": unknown family '" + data::shortened(scheme, 60) + "'" +
                       (near.empty() ? "" : "; did you mean " + near + "?") +
                       " (`laurel score --list` shows all)");
}

// "PATH;key=value;..." into argument and settings.
void read_settings(RewardSpec& spec, const std::string& where) {
  std::istringstream parts(spec.argument);
  std::string argument;
  std::getline(parts, argument, ';');
  for (std::string part; std::getline(parts, part, ';');) {
    const size_t sign = part.find('=');
    const std::string key = data::trimmed(part.substr(0, sign));
    if (sign == std::string::npos || !contains(spec.family->settings, key)) {
      std::string all;
      for (const auto& known : spec.family->settings) all += (all.empty() ? "" : ", ") + known;
      throw data::BadInput(where + ": ';" + part + "': expected KEY=VALUE with one of " + all);
    }
    spec.settings[key] = data::trimmed(part.substr(sign + 1));
  }
  spec.argument = data::trimmed(argument);
}

}  // namespace

RewardSpec parse_reward_spec(const std::string& text,
                             const std::vector<const FamilyEntry*>& families) {
  const std::string where = "define '" + data::shortened(text, 200) + "'";
  const size_t sign = text.find('=');
  RewardSpec spec;
  if (sign != std::string::npos) spec.name = data::trimmed(text.substr(0, sign));
  if (!is_name(spec.name))
    throw data::BadInput(where +
                         ": expected NAME=program:COMMAND, NAME=http://..., "
                         "NAME=FAMILY:PATH or NAME=FORMULA");
  const std::string value = data::trimmed(text.substr(sign + 1));
  if (value.empty()) throw data::BadInput(where + ": expected something after '='");
  spec.family = &family_of(value, families, where);
  const bool whole = spec.family->schemes.empty() || spec.family->scheme_is_argument;
  spec.argument = whole ? value : data::trimmed(value.substr(value.find(':') + 1));
  if (!spec.family->settings.empty()) read_settings(spec, where);
  if (spec.argument.empty()) throw data::BadInput(where + ": expected something after ':'");
  return spec;
}

}  // namespace rewards
