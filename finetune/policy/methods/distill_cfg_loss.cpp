#include "finetune/policy/methods/distill_cfg_loss.hpp"

#include <ATen/ATen.h>

#include "finetune/policy/methods/grpo_loss.hpp"

namespace finetune {
namespace {

// The deviation is the epoch's, not the prompt's: images that are nearly all alike differ by noise.
constexpr GrpoConfig kCentred{.prompt_deviation = false, .epoch_deviation = true};

// The loss, the distance and the share of clipped steps, as sums over the entries.
MethodGradient distill_cfg_objective(const MethodInput& input,
                                     const PolicyMethod& policy,
                                     double scale) {
  const at::Tensor error = input.now.error.to(at::kDouble).sum(), none = at::zeros_like(error);
  MethodGradient result{{{}, {}, at::ones_like(input.now.error, at::kDouble)}, {}};
  if (scale == 0 || !input.now.log_ratio.defined()) {
    result.figures = at::stack({error, error, none});
    return result;
  }
  const MethodGradient of_policy = policy.objective(input);
  result.weights.log_ratio = scale * of_policy.weights.log_ratio;
  result.figures = at::stack({error + scale * of_policy.figures[0], error, of_policy.figures[1]});
  return result;
}

}  // namespace

PolicyMethod distill_cfg_method(const DistillCfgConfig& config) {
  const PolicyMethod policy = grpo_method(kCentred);
  PolicyMethod method = policy;
  method.name = "distill-cfg";
  method.summary = "guided predictions without guidance, as diverse as rewarded";
  method.imitated_guidance = config.guidance_scale;
  method.with_kl_coefficient = {};
  method.figures = {"loss", "imitation", "clipfrac"};
  method.objective = [policy, scale = config.diversity_scale](const MethodInput& input) {
    return distill_cfg_objective(input, policy, scale);
  };
  return method;
}

}  // namespace finetune
