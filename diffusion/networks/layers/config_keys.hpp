#pragma once

// The keys of a network's config.json that are one integer each.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/json.hpp"

namespace diffusion {

template <class Config>
struct NumberKey {
  const char* name;
  int64_t Config::*member;
};
template <class Config>
using NumberKeys = std::vector<NumberKey<Config>>;

// Throws BadInput "<source>: <key>: found <found>, ...".
[[noreturn]] inline void refuse_type(const std::string& source,
                                     const std::string& key,
                                     const nlohmann::json& found) {
  throw data::BadInput(source + ": " + key + ": found " + data::to_text(found) +
                       ", which is not of the expected type");
}

// Absent keys and null leave the default.
template <class Config>
void read_numbers(const nlohmann::json& object,
                  const NumberKeys<Config>& keys,
                  Config& config,
                  const std::string& source) {
  for (const auto& key : keys) {
    const auto found = object.find(key.name);
    if (found == object.end() || found->is_null()) continue;
    if (!found->is_number_integer()) refuse_type(source, key.name, *found);
    config.*key.member = found->template get<int64_t>();
  }
}

// Throws BadInput for a key that is none of them nor of `others`; those that begin with "_" and
// those that are null are passed over.
template <class Config>
void check_known_keys(const nlohmann::json& object,
                      const NumberKeys<Config>& keys,
                      const std::vector<std::string>& others,
                      const std::string& class_name,
                      const std::string& source) {
  for (const auto& [key, value] : object.items()) {
    const auto is_key = [&name = key](const NumberKey<Config>& one) { return name == one.name; };
    if (key.starts_with("_") || value.is_null() ||
        std::find(others.begin(), others.end(), key) != others.end() ||
        std::any_of(keys.begin(), keys.end(), is_key))
      continue;
    throw data::BadInput(source + ": " + key + ": not a key of " + class_name +
                         " that laurel knows; found " + data::to_text(value) +
                         "; remove it if the network works without it");
  }
}

// Throws BadInput when a number is below 1.
template <class Config>
void check_positive(const Config& config,
                    const NumberKeys<Config>& keys,
                    const std::string& source) {
  for (const auto& key : keys) {
    if (config.*key.member >= 1) continue;
    throw data::BadInput(source + ": " + key.name + ": expected at least 1, found " +
                         std::to_string(config.*key.member));
  }
}

// Throws BadInput "<source>: <key>: expected <expected>, found <found>" unless `good`.
inline void check_number(bool good,
                         const std::string& source_and_key,
                         const std::string& expected,
                         int64_t found) {
  if (good) return;
  throw data::BadInput(source_and_key + ": expected " + expected + ", found " +
                       std::to_string(found));
}

// Throws BadInput when _class_name is another than `class_name`. model: "Stable Diffusion 3".
inline void check_class_name(const nlohmann::json& object,
                             const std::string& class_name,
                             const std::string& model,
                             const std::string& source) {
  const auto name = object.value("_class_name", nlohmann::json(class_name));
  if (name == class_name) return;
  throw data::BadInput(source + ": _class_name: expected " + class_name + ", found " +
                       data::to_text(name) + "; point to the transformer folder of a " + model +
                       " checkpoint");
}

}  // namespace diffusion
