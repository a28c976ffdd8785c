#include "rewards/combine/combine.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"

namespace rewards {

std::vector<std::vector<int64_t>> member_groups(const std::vector<WeightedReward>& rewards) {
  std::vector<std::vector<int64_t>> groups;
  std::string open;
  bool any = false;
  for (size_t m = 0; m < rewards.size(); ++m) {
    const std::string& whole = rewards[m].reward.info.member_of;
    if (whole.empty() || whole != open) groups.emplace_back();
    groups.back().push_back(static_cast<int64_t>(m));
    open = whole;
    any = any || !whole.empty();
  }
  return any ? groups : std::vector<std::vector<int64_t>>{};
}

CombineOptions combine_options(const std::vector<WeightedReward>& rewards) {
  CombineOptions options;
  for (const auto& [reward, weight] : rewards) {
    options.weights.push_back(weight);
    options.ranges.push_back({reward.info.low, reward.info.high});
  }
  options.aggregate.groups = member_groups(rewards);
  return options;
}

at::Tensor weights_now(const CombineOptions& options, const CombineState& state) {
  const at::Tensor given = at::tensor(options.weights, at::kDouble);
  if (options.learning.primary < 0) return given;
  return given * (state.weights.defined() ? state.weights
                                          : starting_weights(options.learning, given.size(0)));
}

at::Tensor score_all(const std::vector<WeightedReward>& rewards, const RewardBatch& batch) {
  std::vector<at::Tensor> columns;
  for (const auto& part : rewards) {
    columns.push_back(part.reward.score(batch).to(batch.images.device(), at::kFloat));
    data::check_shape(columns.back(), {batch.images.size(0)}, part.reward.info.name.c_str());
  }
  return at::stack(columns, 1);
}

ScoredBatch combine(const at::Tensor& raw,
                    const std::vector<int64_t>& prompt_ids,
                    const CombineOptions& options,
                    const CombineState& state) {
  data::check_shape(raw, {-1, static_cast<int64_t>(options.weights.size())}, "combine: raw");
  const auto within_caps = [&](const at::Tensor& values) {
    const at::Tensor within = options.caps.empty() ? values : capped(values, options.caps);
    return state.highest.defined() ? within.minimum(state.highest.to(within.options())) : within;
  };
  at::Tensor x = within_caps(raw);
  if (options.baseline.defined()) x = x - within_caps(options.baseline.to(raw.options()));
  ScoredBatch scored;
  scored.raw = raw;
  scored.normalised = options.normaliser->apply({.x = x,
                                                 .prompt_ids = prompt_ids,
                                                 .ranges = options.ranges,
                                                 .spreads = state.spreads,
                                                 .running = state.running,
                                                 .statistics = options.statistics});
  scored.parts = scored.normalised * weights_now(options, state).to(raw.options());
  scored.total = aggregate(scored.parts, options.aggregate);
  return scored;
}

}  // namespace rewards
