#pragma once

// The scores of a reward for the items, kept as they come so that a killed run can be resumed.

#include <functional>
#include <string>
#include <vector>

#include "tools/bench_rewards/items.hpp"
#include "tools/score/images.hpp"
#include "tools/score/log.hpp"

namespace tools {

struct BenchScores {
  // By item, by prompt (the item's own first, then its variants), by picture (the right one first).
  // Empty where a picture could not be scored.
  std::vector<std::vector<std::vector<double>>> of_item;
  double milliseconds = 0;  // an image, with its decoding; NaN: an earlier run scored them all
  int64_t left_out = 0;     // items
};

struct BenchScoring {
  ScoringOptions options{};
  ScoreLog* log = nullptr;                                   // null: kept nowhere
  std::function<void(const std::string& fault)> complain{};  // of a picture that cannot be read
};

// Memory: the scores, and the pictures that score_files holds at once.
BenchScores bench_scores(const std::vector<BenchItem>& items,
                         const rewards::WeightedReward& reward,
                         const BenchScoring& scoring);

}  // namespace tools
