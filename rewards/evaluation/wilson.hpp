#pragma once

#include "rewards/evaluation/agreement.hpp"

namespace rewards {

// A share with its 95 % interval (Wilson, "Probable inference, the law of succession, and
// statistical inference", 1927). successes: in [0, trials], halves allowed; trials: > 0, else all
// values are NaN.
Interval wilson(double successes, double trials);

}  // namespace rewards
