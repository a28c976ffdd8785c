#pragma once

// The folder of a value network: model.safetensors and reward.json.

#include <filesystem>

#include "rewards/value/network.hpp"

namespace rewards {

// A folder, or a file in it. Throws BadInput for files that do not fit.
ValueNetwork load_value_network(const std::filesystem::path& path);
void save_value_network(const std::filesystem::path& folder, const ValueNetwork& w);

// reward.json alone. Throws BadInput for one that is missing, or lacks an entry.
ValueConfig read_value_config(const std::filesystem::path& path);
void write_value_config(const std::filesystem::path& path, const ValueConfig& config);

}  // namespace rewards
