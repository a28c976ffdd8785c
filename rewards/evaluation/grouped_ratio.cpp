#include "rewards/evaluation/grouped_ratio.hpp"

#include <unordered_map>

namespace rewards {

Interval grouped_ratio(const std::vector<int64_t>& groups,
                       const std::vector<double>& numerators,
                       const std::vector<double>& denominators) {
  struct Sums {
    double above = 0, below = 0;
  };
  std::unordered_map<int64_t, size_t> place;
  std::vector<Sums> sums;  // one a group
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto [found, fresh] = place.try_emplace(groups[i], sums.size());
    if (fresh) sums.emplace_back();
    sums[found->second].above += numerators[i];
    sums[found->second].below += denominators[i];
  }
  return bootstrap(sums.size(), [&](const std::vector<size_t>& drawn) {
    Sums all;
    for (const size_t group : drawn) {
      all.above += sums[group].above;
      all.below += sums[group].below;
    }
    return all.above == 0 ? 0 : all.above / all.below;
  });
}

}  // namespace rewards
