#pragma once

// The page of `laurel bench-rewards`: one HTML file that loads nothing.

#include <filesystem>
#include <string>
#include <vector>

#include "tools/bench_rewards/figures.hpp"

namespace tools {

struct BenchedReward {
  RewardFigures figures;
  std::vector<std::vector<double>> worst_scores;  // of the first worst items: right, then wrong
};

constexpr size_t kWorstOnPage = 12;  // items of a reward

// The tables, and of each reward its worst items: the prompt, the right picture and the wrong ones
// with their scores, the highest first. Written atomically.
void write_bench_page(const std::filesystem::path& output,
                      const std::vector<BenchItem>& items,
                      const std::vector<BenchedReward>& rewards);

}  // namespace tools
