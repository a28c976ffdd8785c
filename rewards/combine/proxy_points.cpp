#include "rewards/combine/proxy_points.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace rewards {
namespace {

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

std::vector<double> values_at(const at::Tensor& values, const std::vector<int64_t>& rows) {
  std::vector<double> result;
  for (const int64_t row : rows) result.push_back(values[row].item<double>());
  return result;
}

// The cap of one reward. proxy, gold: [P]
double proxy_point(const at::Tensor& proxy,
                   const at::Tensor& gold,
                   const std::vector<int64_t>& prompt_ids) {
  std::vector<std::vector<double>> proxies, golds;
  size_t fewest = std::numeric_limits<size_t>::max();
  for (const auto& rows : prompt_groups(proxy + gold, prompt_ids)) {
    if (rows.size() < 2) continue;
    proxies.push_back(values_at(proxy, rows));
    golds.push_back(values_at(gold, rows));
    fewest = std::min(fewest, rows.size());
  }
  if (proxies.empty()) return kNoCap;
  double best_gold = -std::numeric_limits<double>::infinity(), cap = kNoCap;
  for (size_t n = 1; n <= fewest; ++n) {
    const auto mean_of_best = [&](const std::vector<std::vector<double>>& values) {
      double sum = 0;
      for (size_t i = 0; i < proxies.size(); ++i)
        sum += best_of_n(proxies[i], values[i], static_cast<int64_t>(n));
      return sum / static_cast<double>(proxies.size());
    };
    const double mean = mean_of_best(golds);
    if (!(mean > best_gold)) continue;
    best_gold = mean;
    cap = n == fewest ? kNoCap : mean_of_best(proxies);
  }
  return cap;
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

at::Tensor proxy_points(const at::Tensor& x,
                        const at::Tensor& gold,
                        const std::vector<int64_t>& prompt_ids) {
  const auto count = static_cast<int64_t>(prompt_ids.size());
  data::check_shape(x, {count, -1}, "proxy_points: x");
  data::check_shape(gold, {count}, "proxy_points: gold");
  at::Tensor caps = at::empty({x.size(1)}, at::kDouble);
  for (int64_t m = 0; m < x.size(1); ++m) caps[m] = proxy_point(x.select(1, m), gold, prompt_ids);
  return caps;
}

}  // namespace rewards
