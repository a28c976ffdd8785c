#pragma once

// The options of how several rewards become one number.

#include <string>
#include <vector>

#include "rewards/combine/combine.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct CombinationConfig {
  std::string normalise = "range";
  std::string aggregate = "sum";
  double temperature = 1, aggregate_k = 1;
  std::string caps, statistics;
};

// Declares --normalise, --aggregate, --caps, --statistics and, in --help-all alone, their numbers.
void declare_combination(Options& options, CombinationConfig& config);

// The combination of these rewards. Throws BadInput for a cap of a reward that is not in use, and
// for a normaliser that reads statistics without a file of them, or a file without it.
rewards::CombineOptions combination(const CombinationConfig& config,
                                    const std::vector<rewards::WeightedReward>& rewards);

}  // namespace tools
