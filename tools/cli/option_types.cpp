// The types of options: how each reads its words, and how it describes itself.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "tools/cli/config_file.hpp"
#include "tools/cli/options.hpp"

using data::BadInput;
using nlohmann::json;

namespace tools {
namespace {

template <class T>
T parse_number(const std::string& text, const std::string& where, const char* expected) {
  const auto value = data::number_of<T>(text);
  if (!value) throw BadInput(where + ": expected " + expected + ", found '" + text + "'");
  return *value;
}

template <class T>
void check_range(T value, T min, T max, const std::string& where, const std::string& range) {
  if (!(value >= min && value <= max)) {
    std::ostringstream found;
    found << value;
    throw BadInput(where + ": expected a value in " + range + ", found " + found.str());
  }
}

template <class T>
std::string range_text(T min, T max) {
  std::ostringstream out;
  out << "[";
  if (min == std::numeric_limits<T>::lowest())
    out << "-inf";
  else
    out << min;
  out << ", ";
  if (max == std::numeric_limits<T>::max() || max == std::numeric_limits<T>::infinity())
    out << "inf";
  else
    out << max;
  out << "]";
  return out.str();
}

// Without the bounds that are the type's own.
template <class T>
json ranged(const char* type, T value, T min, T max) {
  json described{{"type", type}, {"default", value}};
  if (min > std::numeric_limits<T>::lowest()) described["minimum"] = min;
  if (max < std::numeric_limits<T>::max()) described["maximum"] = max;
  return described;
}

std::string toml_of(const json& value) {
  if (value.is_string()) return toml_text(value.get<std::string>());
  if (value.is_number_float()) return toml_number(value.get<double>());
  if (!value.is_array()) return value.dump();
  std::vector<std::string> words;
  for (const auto& word : value) words.push_back(toml_of(word));
  return "[" + data::joined(words, ", ") + "]";
}

}  // namespace

std::string Options::Option::toml() const { return toml_of(schema().at("default")); }

void Options::integer(
    const std::string& key, int64_t& target, const std::string& help, int64_t min, int64_t max) {
  Option& option = add(key, ValueType::kInteger, help);
  const std::string range = range_text(min, max);
  option.set = [&target, min, max, range](const auto& values, const std::string& where) {
    const auto value = parse_number<int64_t>(values.back(), where, "a whole number");
    check_range(value, min, max, where, range);
    target = value;
  };
  option.schema = [&target, min, max] { return ranged("integer", target, min, max); };
}

void Options::number(
    const std::string& key, double& target, const std::string& help, double min, double max) {
  Option& option = add(key, ValueType::kNumber, help);
  const std::string range = range_text(min, max);
  option.set = [&target, min, max, range](const auto& values, const std::string& where) {
    const auto value = parse_number<double>(values.back(), where, "a number");
    check_range(value, min, max, where, range);
    target = value;
  };
  option.schema = [&target, min, max] { return ranged("number", target, min, max); };
}

void Options::text(const std::string& key, std::string& target, const std::string& help) {
  Option& option = add(key, ValueType::kText, help);
  option.set = [&target](const auto& values, const std::string&) { target = values.back(); };
  option.schema = [&target] { return json{{"type", "string"}, {"default", target}}; };
}

void Options::choice(const std::string& key,
                     std::string& target,
                     const std::vector<std::string>& allowed,
                     const std::string& help) {
  Option& option = add(key, ValueType::kText, help + " (" + data::joined(allowed, " | ") + ")");
  option.set = [&target, allowed](const auto& values, const std::string& where) {
    if (std::find(allowed.begin(), allowed.end(), values.back()) == allowed.end()) {
      const std::string near = data::nearest(values.back(), allowed);
      throw BadInput(where + ": expected one of " + data::joined(allowed, ", ") + ", found '" +
                     values.back() + "'" + (near.empty() ? "" : "; did you mean " + near + "?"));
    }
    target = values.back();
  };
  option.schema = [&target, allowed] {
    return json{{"type", "string"}, {"enum", allowed}, {"default", target}};
  };
}

void Options::flag(const std::string& key, bool& target, const std::string& help) {
  Option& option = add(key, ValueType::kFlag, help);
  option.set = [&target](const auto& values, const std::string& where) {
    const std::string& value = values.back();
    if (value != "true" && value != "false")
      throw BadInput(where + ": expected true or false, found '" + value + "'");
    target = value == "true";
  };
  option.schema = [&target] { return json{{"type", "boolean"}, {"default", target}}; };
}

void Options::list(const std::string& key,
                   std::vector<std::string>& target,
                   const std::string& help) {
  Option& option = add(key, ValueType::kList, help);
  option.set = [&target](const auto& values, const std::string&) { target = values; };
  option.schema = [&target] {
    return json{{"type", "array"}, {"items", {{"type", "string"}}}, {"default", target}};
  };
}

json Options::schema() const {
  json keys = json::object();
  for (const auto& option : options_) {
    json described = option.schema();
    described["description"] = option.help;
    if (!option.group.empty()) described["x-group"] = option.group;
    if (option.rarity == Rarity::kRare) described["x-rare"] = true;
    if (option.letter) described["x-letter"] = std::string(1, option.letter);
    keys[option.key] = described;
  }
  for (const auto& [other, key] : aliases_) {
    if (!keys.contains(key)) continue;
    keys[key]["x-aliases"].push_back(other);
  }
  for (const auto& [other, key] : aliases_) {
    if (keys.contains(key) && !keys.contains(other))
      keys[other] = {{"$ref", "#/properties/" + key}, {"description", "the same as " + key}};
  }
  json all{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
           {"title", "laurel " + command_},
           {"description", summary_},
           {"type", "object"},
           {"additionalProperties", false},
           {"properties", keys},
           {"x-positional", positional_help_}};
  if (!positional_choices_.empty()) all["x-positional-choices"] = positional_choices_;
  return all;
}

}  // namespace tools
