#include "rewards/combine/aggregate.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"

namespace data {
namespace {

constexpr double kConstant = 1e-12;  // a column whose deviation is below it never varied

// x: [n] -> [n]; values that are not finite stay.
std::vector<double> ranks_of(const std::vector<double>& x) {
  std::vector<size_t> order;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x[i])) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] < x[b]; });
  std::vector<double> ranks = x;
  for (size_t start = 0; start < order.size();) {
    size_t end = start;
    while (end < order.size() && x[order[end]] == x[order[start]]) ++end;
    const double middle = static_cast<double>(start + end + 1) / 2;  // ranks start + 1 .. end
    for (size_t i = start; i < end; ++i)
      ranks[order[i]] = middle / static_cast<double>(order.size());
    start = end;
  }
  return ranks;
}

at::Tensor deviation(const RunningMoments& moments) {
  return (moments.squares / std::max(moments.count, 1.0)).sqrt();
}

}  // namespace

std::vector<std::vector<int64_t>> rows_of_groups(const std::vector<int64_t>& ids) {
  std::map<int64_t, std::vector<int64_t>> groups;
  for (size_t i = 0; i < ids.size(); ++i) groups[ids[i]].push_back(static_cast<int64_t>(i));
  std::vector<std::vector<int64_t>> rows;
  for (auto& [id, members] : groups) rows.push_back(std::move(members));
  return rows;
}

std::vector<int64_t> ids_of_texts(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> known;
  std::vector<int64_t> ids;
  for (const auto& text : texts)
    ids.push_back(known.emplace(text, static_cast<int64_t>(known.size())).first->second);
  return ids;
}

at::Tensor rank_within(const at::Tensor& x, const std::vector<int64_t>& ids) {
  check_shape(x, {static_cast<int64_t>(ids.size()), -1}, "rank_within: x");
  const at::Tensor source = x.to(at::kDouble).contiguous();
  at::Tensor ranks = at::empty_like(source);
  const auto from = source.accessor<double, 2>();
  auto to = ranks.accessor<double, 2>();
  for (const auto& rows : rows_of_groups(ids)) {
    for (int64_t m = 0; m < source.size(1); ++m) {
      std::vector<double> column;
      for (const int64_t row : rows) column.push_back(from[row][m]);
      const std::vector<double> ranked = ranks_of(column);
      for (size_t i = 0; i < rows.size(); ++i) to[rows[i]][m] = ranked[i];
    }
  }
  return ranks;
}

void update(RunningMoments& moments, const at::Tensor& x) {
  const at::Tensor whole = x.isfinite().all(1);
  const at::Tensor rows = x.to(at::kDouble).index_select(0, whole.nonzero().squeeze(1));  // [n, M]
  const double n = static_cast<double>(rows.size(0));
  if (n == 0) return;
  const at::Tensor mean = rows.mean(0), squares = (rows - mean).square().sum(0);  // [M]
  if (moments.count == 0) {
    moments = {n, mean, squares};
    return;
  }
  const double all = moments.count + n;
  const at::Tensor delta = mean - moments.mean;
  moments.squares = moments.squares + squares + delta.square() * (moments.count * n / all);
  moments.mean = moments.mean + delta * (n / all);
  moments.count = all;
}

at::Tensor standardised(const RunningMoments& moments, const at::Tensor& x) {
  TORCH_CHECK(moments.count > 0, "standardised: nothing was measured yet");
  check_shape(x, {-1, moments.mean.size(0)}, "standardised: x");
  const at::Tensor spread = deviation(moments);  // [M]
  const at::Tensor centred = x.to(at::kDouble) - moments.mean;
  return at::where(spread > kConstant, centred / spread.clamp_min(kConstant), centred * 0);
}

Aggregate aggregate_by_name(const std::string& name) {
  static const std::map<std::string, Aggregate> kinds = {
      {"sum", Aggregate::kSum},          {"mean", Aggregate::kMean},
      {"min", Aggregate::kMin},          {"soft_min", Aggregate::kSoftMin},
      {"mean_std", Aggregate::kMeanStd}, {"uncertainty", Aggregate::kUncertainty}};
  const auto found = kinds.find(name);
  if (found == kinds.end())
    throw BadInput("aggregate: expected sum, mean, min, soft_min, mean_std or uncertainty, found " +
                   name);
  return found->second;
}

at::Tensor aggregate(const at::Tensor& parts, const AggregateOptions& options) {
  const double count = static_cast<double>(parts.size(-1));
  switch (options.kind) {
    case Aggregate::kSum:
      return parts.sum(-1);
    case Aggregate::kMean:
      return parts.mean(-1);
    case Aggregate::kMin:
      return std::get<0>(parts.min(-1));
    case Aggregate::kSoftMin: {
      const double tau = options.temperature;
      TORCH_CHECK(tau > 0, "aggregate: temperature must be > 0, got ", tau);
      return -tau * (at::logsumexp(-parts / tau, {-1}) - std::log(count));
    }
    case Aggregate::kMeanStd:
      return parts.mean(-1) - options.k * parts.std(-1, /*unbiased=*/false);
    case Aggregate::kUncertainty:
      return parts.mean(-1) - options.k * parts.var(-1, /*unbiased=*/false);
  }
  TORCH_CHECK(false, "aggregate: unknown kind");
}

at::Tensor capped(const at::Tensor& x, const std::vector<Cap>& caps) {
  check_shape(x, {-1, static_cast<int64_t>(caps.size())}, "capped: x");
  std::vector<double> low, high;
  for (const auto& cap : caps) {
    low.push_back(cap.low);
    high.push_back(cap.high);
  }
  return x.maximum(at::tensor(low, x.options())).minimum(at::tensor(high, x.options()));
}

at::Tensor stepped_multipliers(const at::Tensor& multipliers,
                               const std::vector<Constraint>& constraints,
                               const at::Tensor& x,
                               const at::Tensor& spreads,
                               double rate) {
  check_shape(multipliers, {static_cast<int64_t>(constraints.size())}, "multipliers");
  at::Tensor stepped = multipliers.clone();
  for (size_t c = 0; c < constraints.size(); ++c) {
    const auto& [column, sign, threshold] = constraints[c];
    const at::Tensor values = x.select(1, column), finite = values.masked_select(values.isfinite());
    if (finite.numel() == 0) continue;
    const double violation = sign * (threshold - finite.mean().item<double>());
    const auto at = static_cast<int64_t>(c);
    const double next =
        multipliers[at].item<double>() + rate * violation / spreads[column].item<double>();
    stepped[at] = std::max(0.0, next);
  }
  return stepped;
}

at::Tensor constraint_terms(const at::Tensor& multipliers,
                            const std::vector<Constraint>& constraints,
                            const at::Tensor& x,
                            const at::Tensor& spreads) {
  at::Tensor sum = at::zeros({x.size(0)}, x.options());
  for (size_t c = 0; c < constraints.size(); ++c) {
    const auto& [column, sign, threshold] = constraints[c];
    const double multiplier = multipliers[static_cast<int64_t>(c)].item<double>();
    if (multiplier > 0)
      sum = sum + x.select(1, column) * (multiplier * sign / spreads[column].item<double>());
  }
  return sum;
}

}  // namespace data
