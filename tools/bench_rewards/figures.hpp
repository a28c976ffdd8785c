#pragma once

// What `laurel bench-rewards` finds about a reward.

#include <optional>
#include <string>
#include <vector>

#include "rewards/evaluation/one_to_many.hpp"
#include "rewards/evaluation/robustness_probes.hpp"
#include "rewards/evaluation/wordings.hpp"
#include "tools/bench_rewards/scores.hpp"

namespace tools {

struct SliceFigures {
  std::string name;
  rewards::OneToMany figures;
};

// Of the items that have their prompt in other words of one name ("paraphrase", "de").
struct VariantFigures {
  std::string name;
  rewards::OneToMany figures;        // of the pictures under these words
  rewards::WordingFigures wordings;  // of the prompt and these words
};

struct RewardFigures {
  std::string name;
  double milliseconds = 0;               // an image; NaN: not measured
  int64_t left_out = 0;                  // items
  std::vector<SliceFigures> slices;      // "all" first, then by name; "wrong: CHANGE" at the end
  std::vector<VariantFigures> variants;  // by name
  std::vector<size_t> worst;  // items whose right picture is not above all others, the worst first:
                              // by right - best wrong score
  std::vector<rewards::RobustnessProbe> robustness{}, hacking{};
};

// Slices: all items that are not apart, each slice, and, as "wrong: CHANGE", the items with those
// wrong pictures alone. At least one item must have scores.
RewardFigures figures_of(const std::string& name,
                         const std::vector<BenchItem>& items,
                         const BenchScores& scores);

// Right pictures of at most `most` items, spread over all, of 8 pixels a side or more, brought to
// the size of the first, at most 512 pixels a side, and at most 2^24 pixels together; none where
// there are fewer than two.
std::optional<rewards::RewardBatch> probe_batch(const std::vector<BenchItem>& items,
                                                int64_t most,
                                                at::Device device);

}  // namespace tools
