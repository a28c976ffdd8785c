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

}  // namespace

const Aggregate kSum{
    .name = "sum",
    .description = "the sum of the parts",
    .compares_parts = false,
    .apply = [](const at::Tensor& parts, const AggregateOptions&) { return parts.sum(-1); }};

const std::vector<const Aggregate*>& aggregates() {
  static const std::vector<const Aggregate*> rows = {&kSum,     &kMean,    &kMedian,     &kMin,
                                                     &kSoftMin, &kMeanStd, &kUncertainty};
  return rows;
}

std::vector<std::string> aggregate_names() {
  std::vector<std::string> names;
  for (const auto* row : aggregates()) names.push_back(row->name);
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
  return options.kind->apply(parts, options);
}

}  // namespace rewards
