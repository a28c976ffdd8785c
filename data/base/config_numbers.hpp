#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace data {

// Throws BadInput naming `where` and the key for a number beyond +-2^24 in a model's configuration,
// alone or in a list: sizes computed from it would overflow, or take all memory. Keys that begin
// with "_" are passed over.
void check_config_numbers(const nlohmann::json& config, const std::string& where);

}  // namespace data
