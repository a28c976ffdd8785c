#include "rewards/evaluation/agreement.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

// [N] -> [N] double: 1 is the smallest; ties share their mean.
at::Tensor ranks(const at::Tensor& x) {
  const auto values = x.to(at::kCPU, at::kDouble).contiguous();
  const double* value = values.const_data_ptr<double>();
  std::vector<int64_t> order(static_cast<size_t>(values.numel()));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return value[a] < value[b]; });
  at::Tensor result = at::empty_like(values);
  double* rank = result.mutable_data_ptr<double>();
  for (size_t start = 0; start < order.size();) {
    size_t end = start;
    while (end < order.size() && value[order[end]] == value[order[start]]) ++end;
    for (size_t i = start; i < end; ++i)
      rank[order[i]] = 0.5 * static_cast<double>(start + end + 1);
    start = end;
  }
  return result;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

}  // namespace

double pearson(const at::Tensor& x, const at::Tensor& y) {
  data::check_shape(x, {-1}, "pearson: x");
  data::check_shape(y, {x.size(0)}, "pearson: y");
  TORCH_CHECK(x.size(0) >= 2, "pearson: expected at least 2 pairs, got ", x.size(0));
  const auto a = x.to(at::kCPU, at::kDouble), b = y.to(at::kCPU, at::kDouble);
  const auto ca = a - a.mean(), cb = b - b.mean();
  const double scale = (ca.norm() * cb.norm()).item<double>();
  return scale > 0 ? ca.dot(cb).item<double>() / scale : 0;
}

double spearman(const at::Tensor& x, const at::Tensor& y) {
  data::check_shape(x, {-1}, "spearman: x");
  return pearson(ranks(x), ranks(y));
}

Agreement agreement(const at::Tensor& prediction,
                    const at::Tensor& target,
                    int64_t resamples,
                    at::Generator& generator) {
  Agreement result{.spearman = spearman(prediction, target),
                   .pearson = pearson(prediction, target)};
  result.mean_absolute_error = (prediction - target).abs().mean().item<double>();
  std::vector<double> drawn;
  for (int64_t i = 0; i < resamples; ++i) {
    const auto rows = at::randint(prediction.size(0), {prediction.size(0)}, generator, at::kLong);
    drawn.push_back(spearman(prediction.index_select(0, rows), target.index_select(0, rows)));
  }
  result.spearman_low = drawn.empty() ? result.spearman : quantile(drawn, 0.025);
  result.spearman_high = drawn.empty() ? result.spearman : quantile(drawn, 0.975);
  return result;
}

Interval grouped_mean(const at::Tensor& values,
                      const std::vector<int64_t>& groups,
                      int64_t resamples,
                      at::Generator& generator) {
  data::check_shape(values, {static_cast<int64_t>(groups.size())}, "grouped_mean: values");
  TORCH_CHECK(!groups.empty(), "grouped_mean: expected at least one value");
  const int64_t count = *std::max_element(groups.begin(), groups.end()) + 1;
  const at::Tensor rows = at::tensor(groups, at::kLong), cpu = values.to(at::kCPU, at::kDouble);
  const at::Tensor ones = at::ones_like(cpu);
  at::Tensor sums = at::zeros({count}, at::kDouble).index_add(0, rows, cpu);
  at::Tensor sizes = at::zeros({count}, at::kDouble).index_add(0, rows, ones);
  const at::Tensor filled = sizes.nonzero().squeeze(1);
  sums = sums.index_select(0, filled);
  sizes = sizes.index_select(0, filled);
  const auto mean = [&](const at::Tensor& s, const at::Tensor& n) {
    return (s.sum() / n.sum()).item<double>();
  };
  std::vector<double> drawn;
  for (int64_t i = 0; i < resamples; ++i) {
    const auto pick = at::randint(sums.size(0), {sums.size(0)}, generator, at::kLong);
    drawn.push_back(mean(sums.index_select(0, pick), sizes.index_select(0, pick)));
  }
  const double value = mean(sums, sizes);
  if (drawn.empty()) return {value, value, value};
  return {value, quantile(drawn, 0.025), quantile(drawn, 0.975)};
}

Interval bootstrap(size_t count,
                   const std::function<double(const std::vector<size_t>& drawn)>& value_of) {
  TORCH_CHECK(count > 0, "bootstrap: expected at least one thing to draw");
  constexpr int kDraws = 1000;
  std::vector<size_t> drawn(count);
  std::iota(drawn.begin(), drawn.end(), size_t{0});
  Interval interval{.value = value_of(drawn)};
  std::mt19937_64 generator(0);
  std::vector<double> values;
  for (int draw = 0; draw < kDraws; ++draw) {
    for (auto& i : drawn) i = generator() % count;
    values.push_back(value_of(drawn));
  }
  std::sort(values.begin(), values.end());
  interval.low = values[static_cast<size_t>(kDraws * 0.025)];
  interval.high = values[static_cast<size_t>(kDraws * 0.975)];
  return interval;
}

at::Tensor pair_agreement(const at::Tensor& score_a,
                          const at::Tensor& score_b,
                          const at::Tensor& votes_a,
                          const at::Tensor& votes_b) {
  data::check_shape(score_b, {score_a.size(0)}, "pair_agreement: score_b");
  data::check_shape(votes_a, {score_a.size(0)}, "pair_agreement: votes_a");
  data::check_shape(votes_b, {score_a.size(0)}, "pair_agreement: votes_b");
  const at::Tensor scores = (score_a - score_b).to(at::kDouble).sign(),
                   votes = (votes_a - votes_b).to(at::kDouble).sign();
  return ((1 + scores * votes) / 2)
      .masked_fill(votes.eq(0), std::numeric_limits<double>::quiet_NaN());
}

}  // namespace rewards
