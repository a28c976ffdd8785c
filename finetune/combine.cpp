#include "finetune/combine.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/error.hpp"
#include "data/shape.hpp"
#include "finetune/pair_loss.hpp"

namespace finetune {
namespace {

constexpr double kLeastOfPooled =
    0.1;  // a prompt's own spread counts for no less than this share of the pooled one

// [P, M] what each reward is divided by.
at::Tensor divisors(const at::Tensor& rewards,
                    const std::vector<int64_t>& prompt_ids,
                    const at::Tensor& spreads,
                    Normalise normalise) {
  if (normalise == Normalise::kNone) return at::ones_like(rewards);
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

// Minus each prompt's mean: a soft minimum compares how far each reward stands from what its prompt
// usually gets.
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

}  // namespace

Normalise normalise_by_name(const std::string& name) {
  if (name == "none") return Normalise::kNone;
  if (name == "pooled") return Normalise::kPooled;
  if (name == "prompt") return Normalise::kPrompt;
  throw data::BadInput("normalise_rewards: expected none, pooled or prompt, found " + name);
}

Aggregate aggregate_by_name(const std::string& name) {
  if (name == "sum") return Aggregate::kSum;
  if (name == "soft_min") return Aggregate::kSoftMin;
  throw data::BadInput("aggregate: expected sum or soft_min, found " + name);
}

at::Tensor pooled_spreads(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids) {
  at::Tensor spreads = at::ones({rewards.size(1)}, at::kDouble);
  for (int64_t m = 0; m < rewards.size(1); ++m) {
    const double spread = spread_within_prompts(rewards.select(1, m), prompt_ids);
    if (spread > 0) spreads[m] = spread;
  }
  return spreads;
}

at::Tensor soft_min(const at::Tensor& x, double temperature) {
  TORCH_CHECK(temperature > 0, "soft_min: temperature must be > 0, got ", temperature);
  const double count = static_cast<double>(x.size(-1));
  return -temperature * (at::logsumexp(-x / temperature, {-1}) - std::log(count));
}

at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const at::Tensor& spreads,
                           const CombineOptions& options) {
  const auto count = static_cast<int64_t>(options.weights.size());
  data::check_shape(rewards, {static_cast<int64_t>(prompt_ids.size()), count},
                    "combine_rewards: rewards");
  const at::Tensor raw = rewards.detach().to(at::kCPU, at::kDouble);
  const at::Tensor scaled = raw / divisors(raw, prompt_ids, spreads, options.normalise);
  const at::Tensor parts = scaled * at::tensor(options.weights, at::kDouble);
  if (options.aggregate == Aggregate::kSum) return parts.sum(1);
  return soft_min(centred(parts, prompt_ids), options.temperature);
}

}  // namespace finetune
