#include "rewards/combine/epoch_combiner.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace rewards {
namespace {

// Minus each prompt's mean.
at::Tensor centred(const at::Tensor& x, const std::vector<int64_t>& prompt_ids) {
  at::Tensor result = x.clone();
  for (const auto& members : prompt_groups(x.sum(1), prompt_ids)) {
    if (members.empty()) continue;
    const at::Tensor rows = at::tensor(members, at::kLong);
    const at::Tensor group = x.index_select(0, rows);
    result.index_copy_(0, rows, group - group.mean(0, /*keepdim=*/true));
  }
  return result;
}

// [M] mean of each column over its finite values.
at::Tensor means_of(const at::Tensor& x) {
  return x.masked_fill(x.isfinite().logical_not(), std::nan("")).nanmean(0);
}

// What each weighted reward's mean has gained since the first epoch, in spreads. raw: [P, M] ->
// [M]; undefined before the first epoch was observed
at::Tensor gains_of(const CombineState& state,
                    const at::Tensor& raw,
                    const CombineOptions& options) {
  if (!state.start.defined()) return {};
  const at::Tensor gain = (means_of(raw) - state.start) * at::tensor(options.weights, at::kDouble);
  return state.spreads.defined() ? gain / state.spreads.to(at::kDouble) : gain;
}

}  // namespace

void observe(CombineState& state,
             const at::Tensor& rewards,
             const CombineOptions& options,
             const std::vector<int64_t>& prompt_ids) {
  const at::Tensor raw = rewards.detach().to(at::kCPU, at::kDouble);
  update(state.running, raw);
  if (options.aggregate.kind->reads_gains && !state.start.defined()) state.start = means_of(raw);
  if (options.learning.primary >= 0) {
    if (!state.weights.defined()) state.weights = starting_weights(options.learning, raw.size(1));
    state.weights = stepped_weights(state.weights, raw, prompt_ids, options.learning);
  }
  const auto count = static_cast<int64_t>(options.constraints.size());
  if (count == 0) return;
  if (!state.multipliers.defined()) state.multipliers = at::zeros({count}, at::kDouble);
  state.multipliers = stepped_multipliers(state.multipliers, options.constraints, raw,
                                          state.spreads, options.constraint_rate);
}

std::map<std::string, double> numbers_of(const CombineState& state) {
  std::map<std::string, double> numbers{{"running.count", state.running.count}};
  const auto add = [&](const std::string& name, const at::Tensor& values) {
    for (int64_t i = 0; values.defined() && i < values.size(0); ++i)
      numbers[name + "." + std::to_string(i)] = values[i].item<double>();
  };
  add("running.mean", state.running.mean);
  add("running.squares", state.running.squares);
  add("multiplier", state.multipliers);
  add("start", state.start);
  add("learnt_weight", state.weights);
  add("highest", state.highest);
  return numbers;
}

void restore_numbers(CombineState& state,
                     const std::map<std::string, double>& numbers,
                     int64_t rewards,
                     int64_t constraints) {
  const auto read = [&](const std::string& name, int64_t count) {
    at::Tensor values = at::zeros({count}, at::kDouble);
    for (int64_t i = 0; i < count; ++i) {
      const auto found = numbers.find(name + "." + std::to_string(i));
      if (found != numbers.end()) values[i] = found->second;
    }
    return values;
  };
  const auto count = numbers.find("running.count");
  state.running = {};
  if (count != numbers.end() && count->second > 0)
    state.running = {count->second, read("running.mean", rewards),
                     read("running.squares", rewards)};
  state.multipliers = constraints > 0 ? read("multiplier", constraints) : at::Tensor();
  state.start = numbers.count("start.0") > 0 ? read("start", rewards) : at::Tensor();
  state.highest = numbers.count("highest.0") > 0 ? read("highest", rewards) : at::Tensor();
  state.weights =
      numbers.count("learnt_weight.0") > 0 ? read("learnt_weight", rewards) : at::Tensor();
}

at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const CombineState& state,
                           const CombineOptions& options) {
  const auto count = static_cast<int64_t>(options.weights.size());
  data::check_shape(rewards, {static_cast<int64_t>(prompt_ids.size()), count},
                    "combine_rewards: rewards");
  at::Tensor raw = rewards.detach().to(at::kCPU, at::kDouble);
  if (options.learning.primary >= 0)
    raw = with_primary_filled(raw, prompt_ids, options.learning.primary);
  const at::Tensor parts = combine(raw, prompt_ids, options, state).parts;
  AggregateOptions rule = options.aggregate;
  if (rule.kind->reads_gains) rule.gains = gains_of(state, raw, options);
  const at::Tensor total =
      aggregate(rule.kind->compares_parts ? centred(parts, prompt_ids) : parts, rule);
  if (!state.multipliers.defined()) return total;
  return total + constraint_terms(state.multipliers, options.constraints, raw, state.spreads);
}

CombineOptions evaluation_options(CombineOptions options) {
  if (options.normaliser->reads_other_images) options.normaliser = &kByPooledSpread;
  options.aggregate = {};
  return options;
}

}  // namespace rewards
