#pragma once

// The figures of `laurel bench-rewards` as a table and as JSON.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/bench_rewards/figures.hpp"

namespace tools {

// Percentages with their 95 % intervals.
std::string figures_text(const RewardFigures& figures);

// Shares in 0 to 1; what was not measured is null. The worst items by their place in the file.
nlohmann::ordered_json figures_json(const RewardFigures& figures);

}  // namespace tools
