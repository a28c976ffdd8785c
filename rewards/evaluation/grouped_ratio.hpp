#pragma once

#include <cstdint>
#include <vector>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {

// Sum of the numerators / sum of the denominators (1 each: the mean), with the 95 % interval of
// `bootstrap` over the groups (prompts). All of N >= 1 entries. 0 / 0 is 0.
Interval grouped_ratio(const std::vector<int64_t>& groups,
                       const std::vector<double>& numerators,
                       const std::vector<double>& denominators);

}  // namespace rewards
