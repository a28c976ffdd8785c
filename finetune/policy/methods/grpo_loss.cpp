#include "finetune/policy/methods/grpo_loss.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/shape.hpp"
#include "finetune/policy/methods/ddpo_loss.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr double kSmallest = 1e-6;  // added to a deviation

at::Tensor deviation(const at::Tensor& centred) { return centred.square().mean().sqrt(); }

// MethodInput's loss, its KL part and the share of clipped steps, as sums over the entries.
MethodGradient grpo_objective(const MethodInput& input, double kl_coefficient) {
  const auto [weights, loss, clip_fraction] =
      ddpo_gradient(input.now.log_ratio, input.log_ratio_old, input.labels, input.clip_range);
  MethodGradient result{{weights, {}}, {}};
  at::Tensor kl_loss = at::zeros_like(loss);
  if (kl_coefficient > 0) {
    result.weights.kl = at::full_like(input.now.kl, kl_coefficient, at::kDouble);
    kl_loss = kl_coefficient * input.now.kl.to(at::kDouble).sum();
  }
  result.figures =
      at::stack({loss + kl_loss, clip_fraction * input.log_ratio_old.numel(), kl_loss});
  return result;
}

// With a coefficient, where there is none that whose optimum lies at the bound.
GrpoConfig with_coefficient(GrpoConfig config, double bound) {
  if (config.kl_coefficient > 0) return config;
  if (!config.prompt_deviation && !config.epoch_deviation)
    throw data::BadInput(
        "kl_coefficient: expected one above 0 for a bound on the KL with advantage = none, where "
        "it is in units of the reward, found 0");
  config.kl_coefficient = beta_for_kl(1, bound);  // advantages have a deviation of 1
  return config;
}

MethodCalibration calibrate(const CalibrationInput& input, const GrpoConfig& config) {
  MethodCalibration result{beta_of(input), {}};
  if (config.kl_coefficient > 0 && (config.prompt_deviation || config.epoch_deviation)) {
    result.remarks = {data::formatted(
        "a nat of KL costs %.4g deviations of the reward; the optimum lies about %.3g nats from "
        "the start",
        config.kl_coefficient, kl_for_beta(1, config.kl_coefficient))};
  }
  return result;
}

}  // namespace

at::Tensor group_advantages(const at::Tensor& rewards,
                            const std::vector<int64_t>& prompt_ids,
                            const GrpoConfig& config) {
  data::check_shape(rewards, {static_cast<int64_t>(prompt_ids.size())},
                    "group_advantages: rewards");
  const at::Tensor reward = rewards.to(at::kCPU, at::kDouble);
  at::Tensor advantages = at::zeros_like(reward), counted = at::zeros_like(reward);
  for (const auto& members : rewards::prompt_groups(reward, prompt_ids)) {
    const auto count = static_cast<double>(members.size());
    if (count < 2) continue;
    const at::Tensor rows = at::tensor(members, at::kLong), group = reward.index_select(0, rows),
                     centred = group - group.mean();
    const double others = config.leave_one_out ? count / (count - 1) : 1;  // r - mean of the others
    const at::Tensor scale =
        config.prompt_deviation ? deviation(centred) + kSmallest : at::ones({}, at::kDouble);
    advantages.index_copy_(0, rows, others * centred / scale);
    counted.index_fill_(0, rows, 1);
  }
  if (!config.epoch_deviation) return advantages;
  const at::Tensor all = advantages.index({counted.to(at::kBool)});
  return all.numel() == 0 ? advantages : advantages / (deviation(all) + kSmallest);
}

PolicyMethod grpo_method(const GrpoConfig& config) {
  return {.name = "grpo",
          .summary = "clipped ratio, rewards relative to the prompt's images, KL if asked",
          .weighs_kl = config.kl_coefficient > 0,
          .compares_with_start = config.kl_coefficient > 0,
          .figures = {"loss", "clipfrac", "kl_loss"},
          .clip_range_in_nats = [](double clip_range, const ChainSize&) { return clip_range; },
          .calibrate = [config](const CalibrationInput& input) { return calibrate(input, config); },
          .labels =
              [config](const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids) {
                return group_advantages(rewards, prompt_ids, config);
              },
          .objective =
              [config](const MethodInput& input) {
                return grpo_objective(input, config.kl_coefficient * input.kl_factor);
              },
          .with_kl_coefficient =
              [config](double bound) { return grpo_method(with_coefficient(config, bound)); }};
}

}  // namespace finetune
