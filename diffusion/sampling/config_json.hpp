#pragma once

// Reading the keys of a scheduler_config.json.

#include <nlohmann/json.hpp>
#include <string>

#include "data/base/error.hpp"
#include "data/base/json.hpp"

namespace diffusion {

// Sets `target` from `key` where it is there and not null. Throws BadInput naming `source`.
template <class T>
void read_key(const nlohmann::json& object, const char* key, T& target, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  try {
    target = found->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw data::BadInput(source + ": " + key + ": value of the wrong type: found " +
                         data::to_text(*found));
  }
}

// Throws BadInput "<where>: expected <expected>, found <found>" unless `good`.
inline void check_key(bool good,
                      const std::string& where,
                      const std::string& expected,
                      const std::string& found) {
  if (!good) throw data::BadInput(where + ": expected " + expected + ", found " + found);
}

// A key that only some classes have, kept in a member of Config.
template <class Config>
struct OptionalKey {
  const char* name;
  void (*read)(const nlohmann::json& object, const char* key, Config& config, const std::string&);
  void (*write)(nlohmann::json& object, const char* key, const Config& config);
};

template <class Config, auto kMember>
constexpr OptionalKey<Config> optional_key(const char* name) {
  return {name,
          [](const nlohmann::json& object, const char* key, Config& config,
             const std::string& source) { read_key(object, key, config.*kMember, source); },
          [](nlohmann::json& object, const char* key, const Config& config) {
            object[key] = config.*kMember;
          }};
}

}  // namespace diffusion
