#include "rewards/agreement.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "data/shape.hpp"

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
  std::sort(drawn.begin(), drawn.end());
  const auto quantile = [&](double share) {
    return drawn[static_cast<size_t>(share * static_cast<double>(drawn.size() - 1))];
  };
  result.spearman_low = drawn.empty() ? result.spearman : quantile(0.025);
  result.spearman_high = drawn.empty() ? result.spearman : quantile(0.975);
  return result;
}

}  // namespace rewards
