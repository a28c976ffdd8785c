#include "rewards/evaluation/wilson.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rewards {

Interval wilson(double successes, double trials) {
  if (!(trials > 0)) {
    const double none = std::numeric_limits<double>::quiet_NaN();
    return {none, none, none};
  }
  constexpr double z = 1.959963984540054;  // of 95 %
  const double share = successes / trials, more = z * z / trials;
  const double middle = (share + more / 2) / (1 + more);
  const double half =
      z / (1 + more) * std::sqrt(share * (1 - share) / trials + more / (4 * trials));
  return {share, std::clamp(middle - half, 0.0, share), std::clamp(middle + half, share, 1.0)};
}

}  // namespace rewards
