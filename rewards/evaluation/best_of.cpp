#include "rewards/evaluation/best_of.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

double best_of_n_kl(int64_t n) {
  const double count = static_cast<double>(n);
  return std::log(count) - (count - 1) / count;
}

std::vector<int64_t> best_of_sizes(const std::vector<PromptSamples>& prompts) {
  TORCH_CHECK(!prompts.empty(), "best_of_sizes: expected at least one prompt");
  size_t fewest = prompts[0].proxy.size();
  for (const auto& prompt : prompts) fewest = std::min(fewest, prompt.proxy.size());
  std::vector<int64_t> sizes;
  for (size_t n = 1; n < fewest; n *= 2) sizes.push_back(static_cast<int64_t>(n));
  sizes.push_back(static_cast<int64_t>(fewest));
  return sizes;
}

BestOfPoint best_of_point(const std::vector<PromptSamples>& prompts, int64_t n) {
  std::vector<double> proxy, gold;
  for (const auto& prompt : prompts) {
    proxy.push_back(best_of_n(prompt.proxy, prompt.proxy, n));
    gold.push_back(best_of_n(prompt.proxy, prompt.gold, n));
  }
  const Interval interval = bootstrap(gold.size(), [&](const std::vector<size_t>& drawn) {
    double sum = 0;
    for (const size_t i : drawn) sum += gold[i];
    return sum / static_cast<double>(drawn.size());
  });
  return {n, best_of_n_kl(n), mean(proxy), interval.value, interval.low, interval.high};
}

std::vector<BestOfPoint> best_of_curve(const std::vector<PromptSamples>& prompts) {
  std::vector<BestOfPoint> curve;
  for (const int64_t n : best_of_sizes(prompts)) curve.push_back(best_of_point(prompts, n));
  return curve;
}

}  // namespace rewards
