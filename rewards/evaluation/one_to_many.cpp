#include "rewards/evaluation/one_to_many.hpp"

#include <functional>

#include "rewards/evaluation/grouped_ratio.hpp"

namespace rewards {
namespace {

struct Ranks {
  int64_t below = 0, equal = 0, above = 0;  // wrong pictures, by their score
};

Ranks ranks_of(const RankedItem& item) {
  Ranks ranks;
  for (const double wrong : item.wrong) {
    ranks.below += wrong < item.right;
    ranks.equal += wrong == item.right;
    ranks.above += wrong > item.right;
  }
  return ranks;
}

using ItemValue = std::function<double(const RankedItem& item)>;

// The mean over items, resampled by prompts.
Interval mean_over_prompts(const std::vector<RankedItem>& items, const ItemValue& value_of) {
  std::vector<int64_t> prompts;
  std::vector<double> values;
  for (const auto& item : items) {
    prompts.push_back(item.group);
    values.push_back(value_of(item));
  }
  return grouped_ratio(prompts, values, std::vector<double>(values.size(), 1));
}

}  // namespace

double one_to_one(const RankedItem& item) {
  const Ranks ranks = ranks_of(item);
  return (static_cast<double>(ranks.below) + 0.5 * static_cast<double>(ranks.equal)) /
         static_cast<double>(item.wrong.size());
}

bool above_all(const RankedItem& item) {
  return ranks_of(item).below == static_cast<int64_t>(item.wrong.size());
}

double reciprocal_rank(const RankedItem& item) {
  const Ranks ranks = ranks_of(item);
  return 1 / (1 + static_cast<double>(ranks.above) + 0.5 * static_cast<double>(ranks.equal));
}

OneToMany one_to_many_figures(const std::vector<RankedItem>& items) {
  OneToMany figures{.items = static_cast<int64_t>(items.size())};
  for (const auto& item : items) figures.ties += ranks_of(item).equal;
  figures.one_to_one = mean_over_prompts(items, one_to_one);
  figures.one_to_many =
      mean_over_prompts(items, [](const RankedItem& item) { return above_all(item) ? 1.0 : 0.0; });
  figures.reciprocal_rank = mean_over_prompts(items, reciprocal_rank);
  return figures;
}

}  // namespace rewards
