#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace data {

// The whole part of `value`, or the nearest number that an int64_t holds; 0 for NaN. A cast would
// be undefined beyond its range.
inline int64_t saturated(double value) {
  constexpr double kEnd = 9223372036854775808.0;  // 2^63
  if (std::isnan(value)) return 0;
  if (value >= kEnd) return std::numeric_limits<int64_t>::max();
  if (value < -kEnd) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(value);
}

}  // namespace data
