#include "finetune/policy/methods/dpok_loss.hpp"

#include <ATen/ATen.h>

#include "data/base/format.hpp"
#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {

at::Tensor rewards_less_prompt_mean(const at::Tensor& rewards,
                                    const std::vector<int64_t>& prompt_ids) {
  data::check_shape(rewards, {static_cast<int64_t>(prompt_ids.size())},
                    "rewards_less_prompt_mean: rewards");
  const at::Tensor reward = rewards.to(at::kCPU, at::kDouble);
  at::Tensor advantages = at::zeros_like(reward);
  for (const auto& members : rewards::prompt_groups(reward, prompt_ids)) {
    const at::Tensor rows = at::tensor(members, at::kLong), group = reward.index_select(0, rows);
    advantages.index_copy_(0, rows, group - group.mean());
  }
  return advantages;
}

DpokGradient dpok_gradient(const StepTerms& now,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& advantages,
                           double beta,
                           double clip_range) {
  const int64_t rows = now.log_ratio.size(0), steps = now.log_ratio.size(1);
  data::check_shape(now.kl, {rows, steps}, "dpok_gradient: kl");
  data::check_shape(log_ratio_old, {rows, steps}, "dpok_gradient: log_ratio_old");
  data::check_shape(advantages, {rows}, "dpok_gradient: advantages");
  TORCH_CHECK(beta > 0, "dpok_gradient: beta must be > 0, got ", beta);
  const at::Tensor ratio = (now.log_ratio - log_ratio_old).detach().to(at::kDouble).exp();
  const at::Tensor advantage = advantages.to(ratio.options()).unsqueeze(1);
  const at::Tensor clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range);
  const at::Tensor kl = now.kl.detach().to(at::kDouble);
  DpokGradient result;
  result.weights.log_ratio = -advantage * ratio * clipped.eq(ratio);  // d rho / d log_ratio = rho
  result.weights.kl = at::full_like(kl, beta);
  result.kl_loss = beta * kl.sum();
  result.loss = (-advantage * clipped).sum() + result.kl_loss;
  result.clip_fraction = clipped.ne(ratio).to(at::kDouble).mean();
  return result;
}

namespace {

MethodGradient dpok_objective(const MethodInput& input) {
  const auto result = dpok_gradient(input.now, input.log_ratio_old, input.labels,
                                    input.beta * input.kl_factor, input.clip_range);
  return {result.weights,
          at::stack({result.loss, result.clip_fraction * input.labels.numel(), result.kl_loss})};
}

MethodCalibration calibrate(const CalibrationInput& input) {
  const double beta = beta_of(input);
  return {
      beta,
      {data::formatted("beta %.4g a nat: the reward spreads by %.4g within a prompt; the optimum "
                       "lies about %.3g nats from the start",
                       beta, input.spread, kl_for_beta(input.spread, beta))}};
}

at::Tensor finite_rewards(const at::Tensor& rewards, const std::vector<int64_t>&) {
  return at::where(rewards.isfinite(), rewards, 0.0);
}

}  // namespace

PolicyMethod dpok_method(const DpokConfig& config) {
  return {.name = "dpok",
          .summary = "policy gradient with the KL of each step from the start",
          .weighs_kl = true,
          .figures = {"loss", "clipfrac", "kl_loss"},
          .clip_range_in_nats = [](double clip_range, const ChainSize&) { return clip_range; },
          .calibrate = calibrate,
          .labels = config.baseline ? rewards_less_prompt_mean : finite_rewards,
          .objective = dpok_objective,
          .with_kl_coefficient = [config](double) { return dpok_method(config); }};
}

}  // namespace finetune
