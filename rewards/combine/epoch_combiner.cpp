#include "rewards/combine/epoch_combiner.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"

namespace finetune {
namespace {

constexpr double kLeastOfPooled =
    0.1;  // a prompt's own spread counts for no less than this share of the pooled one

// [P, M] what each reward is divided by.
at::Tensor divisors(const at::Tensor& rewards,
                    const std::vector<int64_t>& prompt_ids,
                    const at::Tensor& spreads,
                    Normalise normalise) {
  if (normalise != Normalise::kPooled && normalise != Normalise::kPrompt)
    return at::ones_like(rewards);
  at::Tensor result = spreads.to(at::kDouble).unsqueeze(0).expand_as(rewards).clone();
  if (normalise == Normalise::kPooled) return result;
  for (int64_t m = 0; m < rewards.size(1); ++m) {
    const at::Tensor column = rewards.select(1, m);
    for (const auto& members : prompt_groups(column, prompt_ids)) {
      if (members.size() < 2) continue;
      const at::Tensor rows = at::tensor(members, at::kLong);
      const double own = column.index_select(0, rows).std(/*unbiased=*/true).item<double>();
      const double least = kLeastOfPooled * spreads[m].item<double>();
      result.select(1, m).index_fill_(0, rows, std::max(own, least));
    }
  }
  return result;
}

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

// [P, M]
at::Tensor scaled(const at::Tensor& raw,
                  const std::vector<int64_t>& prompt_ids,
                  const CombineState& state,
                  const CombineOptions& options) {
  switch (options.normalise) {
    case Normalise::kRank:
      return data::rank_within(raw, prompt_ids);
    case Normalise::kFixed:
      return data::standardised(options.fixed, raw);
    case Normalise::kRunning: {
      if (state.running.count > 0) return data::standardised(state.running, raw);
      data::RunningMoments own;  // nothing seen before: these are the first
      data::update(own, raw);
      return own.count > 0 ? data::standardised(own, raw) : raw;
    }
    default:
      return raw / divisors(raw, prompt_ids, state.spreads, options.normalise);
  }
}

}  // namespace

Normalise normalise_by_name(const std::string& name) {
  static const std::map<std::string, Normalise> all = {
      {"none", Normalise::kNone}, {"pooled", Normalise::kPooled},   {"prompt", Normalise::kPrompt},
      {"rank", Normalise::kRank}, {"running", Normalise::kRunning}, {"fixed", Normalise::kFixed}};
  const auto found = all.find(name);
  if (found != all.end()) return found->second;
  throw data::BadInput(
      "normalise_rewards: expected none, pooled, prompt, rank, running or fixed, found " + name);
}

void observe(CombineState& state, const at::Tensor& rewards, const CombineOptions& options) {
  const at::Tensor raw = rewards.detach().to(at::kCPU, at::kDouble);
  data::update(state.running, raw);
  const auto count = static_cast<int64_t>(options.constraints.size());
  if (count == 0) return;
  if (!state.multipliers.defined()) state.multipliers = at::zeros({count}, at::kDouble);
  state.multipliers = data::stepped_multipliers(state.multipliers, options.constraints, raw,
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
}

at::Tensor pooled_spreads(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids) {
  at::Tensor spreads = at::ones({rewards.size(1)}, at::kDouble);
  for (int64_t m = 0; m < rewards.size(1); ++m) {
    const double spread = spread_within_prompts(rewards.select(1, m), prompt_ids);
    if (spread > 0) spreads[m] = spread;
  }
  return spreads;
}

at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const CombineState& state,
                           const CombineOptions& options) {
  const auto count = static_cast<int64_t>(options.weights.size());
  data::check_shape(rewards, {static_cast<int64_t>(prompt_ids.size()), count},
                    "combine_rewards: rewards");
  at::Tensor raw = rewards.detach().to(at::kCPU, at::kDouble);
  const at::Tensor uncapped = raw;
  if (!options.caps.empty()) raw = data::capped(raw, options.caps);
  const at::Tensor parts =
      scaled(raw, prompt_ids, state, options) * at::tensor(options.weights, at::kDouble);
  const bool sum = options.aggregate.kind == data::Aggregate::kSum;
  const at::Tensor total =
      data::aggregate(sum ? parts : centred(parts, prompt_ids), options.aggregate);
  if (!state.multipliers.defined()) return total;
  return total +
         data::constraint_terms(state.multipliers, options.constraints, uncapped, state.spreads);
}

}  // namespace finetune
