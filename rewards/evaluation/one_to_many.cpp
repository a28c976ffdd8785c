#include "rewards/evaluation/one_to_many.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>

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
  struct Sum {
    double sum = 0, count = 0;
  };
  std::unordered_map<int64_t, size_t> place;
  std::vector<Sum> prompts;
  for (const auto& item : items) {
    const auto [found, fresh] = place.try_emplace(item.group, prompts.size());
    if (fresh) prompts.emplace_back();
    prompts[found->second].sum += value_of(item);
    prompts[found->second].count += 1;
  }
  return bootstrap(prompts.size(), [&](const std::vector<size_t>& drawn) {
    Sum all;
    for (const size_t prompt : drawn) {
      all.sum += prompts[prompt].sum;
      all.count += prompts[prompt].count;
    }
    return all.sum / all.count;
  });
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
