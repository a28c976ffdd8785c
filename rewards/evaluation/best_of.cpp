#include "rewards/evaluation/best_of.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {
namespace {

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

double best_of_n(const std::vector<double>& proxy, const std::vector<double>& gold, int64_t n) {
  const size_t count = proxy.size();
  TORCH_CHECK(gold.size() == count && n >= 1 && static_cast<size_t>(n) <= count,
              "best_of_n: expected 1 <= n <= ", count, " and as many gold values, got n = ", n);
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return proxy[a] < proxy[b]; });
  const double all = log_choose(static_cast<double>(count), static_cast<double>(n));
  double sum = 0;
  for (size_t start = 0; start < count;) {
    double gold_sum = 0, weight = 0;
    size_t end = start;
    for (; end < count && proxy[order[end]] == proxy[order[start]]; ++end) {
      gold_sum += gold[order[end]];
      if (end + 1 >= static_cast<size_t>(n))
        weight += std::exp(log_choose(static_cast<double>(end), static_cast<double>(n - 1)) - all);
    }
    sum += weight * gold_sum / static_cast<double>(end - start);
    start = end;
  }
  return sum;
}

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
