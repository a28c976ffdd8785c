#include "rewards/combine/aggregate.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/error.hpp"

namespace rewards {
namespace {

const Aggregate kMean{
    .name = "mean",
    .description = "the mean of the parts",
    .apply = [](const at::Tensor& parts, const AggregateOptions&) { return parts.mean(-1); }};

// The mean of the two middle ones of an even number.
at::Tensor median(const at::Tensor& parts, const AggregateOptions&) {
  const at::Tensor sorted = std::get<0>(parts.sort(-1));
  const int64_t count = parts.size(-1);
  return (sorted.select(-1, (count - 1) / 2) + sorted.select(-1, count / 2)) / 2;
}
const Aggregate kMedian{
    .name = "median",
    .description = "the median of the parts: one that is gamed or broken changes it little",
    .apply = median};

const Aggregate kMin{
    .name = "min",
    .description = "the worst part (Coste et al., \"Reward model ensembles\", 2023, WCO)",
    .apply = [](const at::Tensor& parts, const AggregateOptions&) {
      return std::get<0>(parts.min(-1));
    }};

at::Tensor soft_min(const at::Tensor& parts, const AggregateOptions& options) {
  const double tau = options.temperature, count = static_cast<double>(parts.size(-1));
  TORCH_CHECK(tau > 0, "aggregate: temperature must be > 0, got ", tau);
  return -tau * (at::logsumexp(-parts / tau, {-1}) - std::log(count));
}
const Aggregate kSoftMin{
    .name = "soft_min",
    .description = "-tau log mean exp(-x / tau): the minimum as tau -> 0, the mean as tau grows",
    .apply = soft_min};

const Aggregate kMeanStd{.name = "mean_std",
                         .description = "mean - k deviation, of the population of parts",
                         .apply = [](const at::Tensor& parts, const AggregateOptions& options) {
                           return parts.mean(-1) - options.k * parts.std(-1, /*unbiased=*/false);
                         }};

const Aggregate kUncertainty{.name = "uncertainty",
                             .description = "mean - k variance (Coste et al., 2023, UWO)",
                             .apply = [](const at::Tensor& parts, const AggregateOptions& options) {
                               return parts.mean(-1) -
                                      options.k * parts.var(-1, /*unbiased=*/false);
                             }};

// 1 / n at the n columns with the least value, 0 elsewhere. x: [M] -> [M]
at::Tensor share_of_least(const at::Tensor& x) {
  constexpr double kRounding = 1e-9;
  const at::Tensor least = x.le(x.min() + kRounding * x.abs().max()).to(x.scalar_type());
  return least / least.sum();
}

// a times the nominal part plus 1 - a times the worst one, the same two for the whole batch. The
// nominal part is the one of least deviation from the mean of the parts, the worst one that which
// gained least since the start; equals share their place. After Yan et al., "Reward-robust RLHF in
// LLMs" (2024): the minimum is of expectations, so it stands outside the mean over images. Their
// parts are heads that predict a deviation of their own.
at::Tensor robust(const at::Tensor& parts, const AggregateOptions& options) {
  const at::Tensor whole = parts.isfinite().all(1).nonzero().squeeze(1);  // no broken images
  const at::Tensor rows = parts.index_select(0, whole);
  if (rows.size(0) == 0) return parts.mean(-1);
  const at::Tensor nominal =
      share_of_least((rows - rows.mean(1, /*keepdim=*/true)).square().mean(0));
  const at::Tensor worst = options.gains.defined()
                               ? share_of_least(options.gains.to(parts.options()))
                               : at::full_like(nominal, 1.0 / static_cast<double>(parts.size(1)));
  return parts.mv(options.nominal * nominal + (1 - options.nominal) * worst);
}
const Aggregate kRobust{.name = "robust",
                        .description =
                            "a nominal + (1 - a) worst member, by the means of a batch (Yan et "
                            "al., \"Reward-robust RLHF\", 2024, BRME)",
                        .reads_gains = true,
                        .apply = robust};

}  // namespace

const Aggregate kSum{
    .name = "sum",
    .description = "the sum of the parts",
    .compares_parts = false,
    .apply = [](const at::Tensor& parts, const AggregateOptions&) { return parts.sum(-1); }};

const std::vector<const Aggregate*>& aggregates() {
  static const std::vector<const Aggregate*> rows = {&kSum,     &kMean,    &kMedian,      &kMin,
                                                     &kSoftMin, &kMeanStd, &kUncertainty, &kRobust};
  return rows;
}

std::vector<std::string> aggregate_names(bool training) {
  std::vector<std::string> names;
  for (const auto* row : aggregates()) {
    if (training || !row->reads_gains) names.push_back(row->name);
  }
  return names;
}

const Aggregate& aggregate_by_name(const std::string& name) {
  std::string known;
  for (const auto* row : aggregates()) {
    if (row->name == name) return *row;
    known += (known.empty() ? "" : ", ") + std::string(row->name);
  }
  throw data::BadInput("aggregate: expected one of " + known + ", found '" + name + "'");
}

at::Tensor aggregate(const at::Tensor& parts, const AggregateOptions& options) {
  if (options.groups.empty() || !options.kind->compares_parts)
    return options.kind->apply(parts, options);
  at::Tensor total = at::zeros({parts.size(0)}, parts.options());
  for (const auto& group : options.groups) {
    const at::Tensor columns = at::tensor(group, at::kLong);
    AggregateOptions own = options;
    if (own.gains.defined()) own.gains = options.gains.index_select(0, columns);
    const at::Tensor members = parts.index_select(1, columns.to(parts.device()));
    total = total + own.kind->apply(members * static_cast<double>(group.size()), own);
  }
  return total;
}

}  // namespace rewards
