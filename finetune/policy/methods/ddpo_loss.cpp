#include "finetune/policy/methods/ddpo_loss.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

// group: [G] -> [G]
at::Tensor normalised(const at::Tensor& group, double limit) {
  const at::Tensor deviation = group.std(/*unbiased=*/false) + 1e-6;
  return ((group - group.mean()) / deviation).clamp(-limit, limit);
}

}  // namespace

at::Tensor prompt_advantages(const at::Tensor& rewards,
                             const std::vector<int64_t>& prompt_ids,
                             double limit) {
  data::check_shape(rewards, {static_cast<int64_t>(prompt_ids.size())},
                    "prompt_advantages: rewards");
  const at::Tensor reward = rewards.to(at::kCPU, at::kDouble);
  at::Tensor advantages = at::zeros_like(reward);
  for (const auto& members : rewards::prompt_groups(reward, prompt_ids)) {
    if (members.size() < 2) continue;
    const at::Tensor rows = at::tensor(members, at::kLong);
    advantages.index_copy_(0, rows, normalised(reward.index_select(0, rows), limit));
  }
  return advantages;
}

at::Tensor epoch_advantages(const at::Tensor& rewards, double limit) {
  TORCH_CHECK(rewards.dim() == 1, "epoch_advantages: rewards must be [P], got ", rewards.sizes());
  const at::Tensor reward = rewards.to(at::kCPU, at::kDouble), finite = reward.isfinite();
  at::Tensor advantages = at::zeros_like(reward);
  const at::Tensor all = reward.index({finite});
  if (all.numel() > 1) advantages.index_put_({finite}, normalised(all, limit));
  return advantages;
}

DdpoGradient ddpo_gradient(const at::Tensor& log_ratio,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& advantages,
                           double clip_range) {
  data::check_shape(log_ratio_old, {log_ratio.size(0), log_ratio.size(1)},
                    "surrogate_weights: log_ratio_old");
  data::check_shape(advantages, {log_ratio.size(0)}, "surrogate_weights: advantages");
  const at::Tensor ratio = (log_ratio - log_ratio_old).detach().to(at::kDouble).exp();
  const at::Tensor advantage = advantages.to(ratio.options()).unsqueeze(1);
  const at::Tensor open = -advantage * ratio;
  const at::Tensor clipped = -advantage * ratio.clamp(1.0 - clip_range, 1.0 + clip_range);
  DdpoGradient result;
  result.weights =
      at::where(clipped.gt(open), at::zeros_like(open), open);  // d rho / d log_ratio = rho
  result.loss = at::maximum(open, clipped).sum();
  result.clip_fraction = ((ratio - 1.0).abs() > clip_range).to(at::kDouble).mean();
  return result;
}

namespace {

MethodGradient ddpo_objective(const MethodInput& input) {
  const auto result =
      ddpo_gradient(input.now.log_ratio, input.log_ratio_old, input.labels, input.clip_range);
  const int64_t entries = input.log_ratio_old.numel();
  return {{result.weights, {}}, at::stack({result.loss, result.clip_fraction * entries})};
}

}  // namespace

PolicyMethod ddpo_method(const DdpoConfig& config) {
  return {.name = "ddpo",
          .summary = "denoising diffusion policy optimisation, the control",
          .compares_with_start = false,
          .figures = {"loss", "clipfrac"},
          .clip_range_in_nats = [](double clip_range, const ChainSize&) { return clip_range; },
          .calibrate =
              [](const CalibrationInput& input) {
                return MethodCalibration{beta_of(input), {}};
              },
          .labels =
              [config](const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids) {
                return config.advantages_of_epoch
                           ? epoch_advantages(rewards, config.adv_clip_max)
                           : prompt_advantages(rewards, prompt_ids, config.adv_clip_max);
              },
          .objective = ddpo_objective};
}

}  // namespace finetune
