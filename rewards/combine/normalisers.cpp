#include "rewards/combine/normalisers.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace rewards {
namespace {

constexpr double kSmallestDeviation = 1e-4;  // below, a prompt's images count as equal
constexpr double kLeastOfPooled = 0.1;  // least share of the pooled spread that a prompt's counts

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

at::Tensor by_range(const NormaliserInput& input) {
  std::vector<double> low, span;
  for (const auto& range : input.ranges) {
    low.push_back(range.low);
    span.push_back(range.high - range.low);
  }
  const at::Tensor& x = input.x;
  return (x - at::tensor(low, x.options())) / at::tensor(span, x.options());
}

// Zero mean and unit deviation (of the population) over the rows of each prompt.
at::Tensor standardised_by_prompt(const NormaliserInput& input) {
  const at::Tensor& x = input.x;
  TORCH_CHECK(static_cast<int64_t>(input.prompt_ids.size()) == x.size(0),
              "combine: prompts: expected ", x.size(0), ", found ", input.prompt_ids.size());
  at::Tensor result = at::zeros_like(x);
  for (const auto& members : rows_of_groups(input.prompt_ids)) {
    const auto rows = at::tensor(members, at::kLong).to(x.device());
    const auto group = x.index_select(0, rows);  // [K, M]
    const auto centred = group - group.mean(0, true);
    const auto deviation = centred.square().mean(0, true).sqrt();  // [1, M]
    const auto scaled = centred / deviation.clamp_min(kSmallestDeviation);
    result.index_copy_(0, rows,
                       at::where(deviation < kSmallestDeviation, at::zeros_like(scaled), scaled));
  }
  return result;
}

// [M] -> [P, M]
at::Tensor spread_of_rows(const NormaliserInput& input) {
  return input.spreads.to(at::kDouble).unsqueeze(0).expand_as(input.x).clone();
}

at::Tensor by_pooled_spread(const NormaliserInput& input) {
  return input.x / spread_of_rows(input);
}

at::Tensor by_prompt_spread(const NormaliserInput& input) {
  at::Tensor divisors = spread_of_rows(input);
  for (int64_t m = 0; m < input.x.size(1); ++m) {
    const at::Tensor column = input.x.select(1, m);
    for (const auto& members : prompt_groups(column, input.prompt_ids)) {
      if (members.size() < 2) continue;
      const at::Tensor rows = at::tensor(members, at::kLong);
      const double own = column.index_select(0, rows).std(/*unbiased=*/true).item<double>();
      const double least = kLeastOfPooled * input.spreads[m].item<double>();
      divisors.select(1, m).index_fill_(0, rows, std::max(own, least));
    }
  }
  return input.x / divisors;
}

at::Tensor by_rank(const NormaliserInput& input) {
  return rank_within(input.x.cpu(), input.prompt_ids).to(input.x.options());
}

// By the moments of the run so far, or, before there are any, of these values.
at::Tensor by_running_moments(const NormaliserInput& input) {
  RunningMoments moments = input.running;
  if (moments.count == 0) update(moments, input.x.cpu());
  return moments.count > 0 ? standardised(moments, input.x.cpu()).to(input.x.options()) : input.x;
}

at::Tensor by_statistics(const NormaliserInput& input) {
  return standardised(input.statistics, input.x.cpu()).to(input.x.options());
}

const Normaliser kByRange{.name = "range",
                          .description = "(raw - low) / (high - low) of the reward's usual range",
                          .scoring = true,
                          .apply = by_range};
const Normaliser kStandardisedByPrompt{
    .name = "prompt",
    .description = "(raw - mean) / deviation over the prompt's images; 0 below a deviation of 1e-4",
    .scoring = true,
    .compares_prompt_images = true,
    .reads_other_images = true,
    .apply = standardised_by_prompt};
const Normaliser kByPromptSpread{
    .name = "prompt",
    .description =
        "raw / deviation over the prompt's images, at least a tenth of the pooled spread",
    .training = true,
    .compares_prompt_images = true,
    .reads_other_images = true,
    .apply = by_prompt_spread};
const Normaliser kByRank{.name = "rank",
                         .description = "the rank among the prompt's images / their number",
                         .scoring = true,
                         .training = true,
                         .compares_prompt_images = true,
                         .reads_other_images = true,
                         .apply = by_rank};
const Normaliser kByAll{.name = "all",
                        .description = "(raw - mean) / deviation over all images",
                        .scoring = true,
                        .reads_other_images = true,
                        .apply = by_running_moments};
const Normaliser kByRunningMoments{
    .name = "running",
    .description = "(raw - mean) / deviation of all that the run has seen so far",
    .training = true,
    .reads_other_images = true,
    .apply = by_running_moments};
const Normaliser kByStatistics{.name = "fixed",
                               .description = "(raw - mean) / deviation of a statistics file",
                               .scoring = true,
                               .training = true,
                               .reads_statistics = true,
                               .apply = by_statistics};

bool offered(const Normaliser& row, Stage stage) {
  return stage == Stage::kScoring ? row.scoring : row.training;
}

}  // namespace

const Normaliser kRawUnits{.name = "none",
                           .description = "raw units: the weights carry the units",
                           .scoring = true,
                           .training = true,
                           .apply = [](const NormaliserInput& input) { return input.x; }};
const Normaliser kByPooledSpread{
    .name = "pooled",
    .description = "raw / spread within prompts, measured once on the starting model",
    .training = true,
    .apply = by_pooled_spread};

const std::vector<const Normaliser*>& normalisers() {
  static const std::vector<const Normaliser*> rows = {
      &kRawUnits, &kByRange, &kByPooledSpread,   &kStandardisedByPrompt, &kByPromptSpread,
      &kByRank,   &kByAll,   &kByRunningMoments, &kByStatistics};
  return rows;
}

std::vector<std::string> normaliser_names(Stage stage) {
  std::vector<std::string> names;
  for (const auto* row : normalisers()) {
    if (offered(*row, stage)) names.push_back(row->name);
  }
  return names;
}

const Normaliser& normaliser_by_name(const std::string& name, Stage stage) {
  std::string known;
  for (const auto* row : normalisers()) {
    if (!offered(*row, stage)) continue;
    if (row->name == name) return *row;
    known += (known.empty() ? "" : ", ") + std::string(row->name);
  }
  throw data::BadInput("normaliser: expected one of " + known + ", found '" + name + "'");
}

at::Tensor rank_within(const at::Tensor& x, const std::vector<int64_t>& ids) {
  data::check_shape(x, {static_cast<int64_t>(ids.size()), -1}, "rank_within: x");
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

}  // namespace rewards
