#pragma once

// The options that make several rewards one number.

#include <string>
#include <vector>

#include "rewards/reward.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct CombinationConfig {
  std::string normalise = "range";
  std::string aggregate = "sum";
  double temperature = 1, aggregate_k = 1;
  std::string caps, statistics;
};

// --normalise, --aggregate, --caps, --statistics and, passed over by --help, their numbers.
void declare_combination(Options& options, CombinationConfig& config);

// Throws BadInput for a cap of a reward that is not in use, and for `fixed` without statistics or
// the other way round.
rewards::CombineOptions combination(const CombinationConfig& config,
                                    const std::vector<std::string>& reward_names);

}  // namespace tools
