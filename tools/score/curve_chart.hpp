#pragma once

#include <string>
#include <vector>

#include "rewards/evaluation/best_of.hpp"

namespace tools {

struct NamedCurve {
  std::string name;
  std::vector<rewards::BestOfPoint> points;  // of equal n in all curves
};

// An SVG: the gold reward against KL, a line for each curve with its name at the right end.
std::string curve_chart(const std::vector<NamedCurve>& curves, const std::string& gold);

}  // namespace tools
