#include "data/base/config_numbers.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"

using nlohmann::json;

namespace data {

void check_config_numbers(const json& config, const std::string& where) {
  constexpr double kLargest = 1 << 24;
  const auto check = [&](const std::string& key, const json& value) {
    if (value.is_number() && !(std::abs(value.get<double>()) <= kLargest))
      throw BadInput(where + ": " + key + ": expected a number of at most 16777216, found " +
                     to_text(value));
  };
  for (const auto& [key, value] : config.items()) {
    if (key.starts_with("_")) continue;
    check(key, value);
    for (const auto& entry : value.is_array() ? value : json::array()) check(key, entry);
  }
}

}  // namespace data
