#include "rewards/labels/rules.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace rewards {

std::string name_of(Fate fate) {
  if (fate == Fate::kFlipped) return "flipped";
  if (fate == Fate::kDropped) return "dropped";
  return fate == Fate::kSoftened ? "softened" : "kept";
}

std::string fault_of(const LabelRules& rules) {
  const auto is_share = [](double share) { return share >= 0 && share <= 1; };
  if (!is_share(rules.flip) || !is_share(rules.drop_from) || !is_share(rules.drop_to) ||
      !is_share(rules.soften))
    return "expected shares between 0 and 1";
  if (!(rules.soft_label > 0.5 && rules.soft_label <= 1))
    return "expected a soft label above 0.5 and at most 1";
  const bool drops = rules.drop_to > rules.drop_from;
  if (rules.drop_to < rules.drop_from) return "expected a drop from a smaller to a larger share";
  if (drops && rules.flip > rules.drop_from) return "flip and drop take the same labels";
  if (std::max(rules.flip, drops ? rules.drop_to : 0.0) + rules.soften > 1 + 1e-12)
    return "soften takes labels that flip or drop take";
  return "";
}

std::vector<Fate> fates_of(const std::vector<double>& strengths, const LabelRules& rules) {
  std::vector<size_t> order(strengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t i, size_t j) { return strengths[i] < strengths[j]; });
  const auto count_of = [&](double share) {
    return static_cast<size_t>(std::llround(share * static_cast<double>(strengths.size())));
  };
  const size_t flip_to = count_of(rules.flip), drop_from = count_of(rules.drop_from);
  const size_t drop_to = count_of(rules.drop_to);
  const size_t soften_from = strengths.size() - count_of(rules.soften);
  std::vector<Fate> fates(strengths.size(), Fate::kKept);
  for (size_t rank = 0; rank < order.size(); ++rank) {
    Fate& fate = fates[order[rank]];
    if (rank < flip_to)
      fate = Fate::kFlipped;
    else if (rank >= drop_from && rank < drop_to)
      fate = Fate::kDropped;
    else if (rank >= soften_from)
      fate = Fate::kSoftened;
  }
  return fates;
}

double relabelled(double p, Fate fate, double soft_label) {
  if (fate == Fate::kFlipped) return 1 - p;
  if (fate == Fate::kSoftened) return p > 0.5 ? soft_label : 1 - soft_label;
  return p;
}

double adaptive_margin(double strength) { return std::max(strength, 0.0); }

}  // namespace rewards
