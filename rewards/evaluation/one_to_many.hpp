#pragma once

// Whether a reward puts the one right picture of a prompt above several wrong ones: Kim et al.,
// "Evaluating robustness of reward models for mathematical reasoning" (RewardMATH, 2024), after
// which this follows the results of best-of-n and of policies where single pairs do not.

#include <cstdint>
#include <vector>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {

struct RankedItem {
  int64_t group = 0;            // the prompt
  double right = 0;             // the right picture's score, finite
  std::vector<double> wrong{};  // those of the wrong ones, at least one, finite
};

// The share of the wrong pictures that score below the right one; equal scores count a half.
double one_to_one(const RankedItem& item);
// Whether all of them do; an equal score is not below.
bool above_all(const RankedItem& item);
// 1 / rank of the right picture; equal scores share their mean rank.
double reciprocal_rank(const RankedItem& item);

struct OneToMany {
  int64_t items = 0;
  int64_t ties = 0;  // wrong pictures that score as the right one
  // Means over the items, 95 % by a bootstrap over the prompts.
  Interval one_to_one{}, one_to_many{}, reciprocal_rank{};
};
// items: at least one. Deterministic.
OneToMany one_to_many_figures(const std::vector<RankedItem>& items);

}  // namespace rewards
