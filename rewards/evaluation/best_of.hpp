#pragma once

// Best-of-n against KL and a gold reward: measures over-optimisation before any training (Gao,
// Schulman, Hilton, "Scaling laws for reward model overoptimization", 2023).

#include <cstdint>
#include <vector>

#include "rewards/combine/proxy_points.hpp"

namespace rewards {

// KL of the best-of-n policy from the one it draws from: ln n - (n - 1) / n.
double best_of_n_kl(int64_t n);

struct BestOfPoint {
  int64_t n = 1;
  double kl = 0, proxy = 0, gold = 0;  // means over the prompts
  double gold_low = 0, gold_high = 0;  // 95 % by a bootstrap over prompts, seed 0
};
struct PromptSamples {
  std::vector<double> proxy, gold;
};
// n = 1, 2, 4, ... up to the fewest samples of a prompt, and that number itself.
std::vector<int64_t> best_of_sizes(const std::vector<PromptSamples>& prompts);
BestOfPoint best_of_point(const std::vector<PromptSamples>& prompts, int64_t n);
// The points of all sizes.
std::vector<BestOfPoint> best_of_curve(const std::vector<PromptSamples>& prompts);

}  // namespace rewards
