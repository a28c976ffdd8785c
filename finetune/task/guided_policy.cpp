#include "finetune/task/guided_policy.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace finetune {

Denoiser guided_policy(const diffusion::Network& unet,
                       const diffusion::Conditioning& conditioning,
                       const diffusion::GuidanceOptions& options) {
  const auto branches = diffusion::guidance_batch(diffusion::traits(unet), options);
  const auto own = diffusion::with_guidance_input(unet, conditioning, options);
  return [unet, own, branches, options](const at::Tensor& x, double timestep,
                                        const std::vector<int64_t>& prompt_ids) {
    TORCH_CHECK(x.device() == diffusion::device_of(unet), "guided_policy: x is on ", x.device(),
                ", the network on ", diffusion::device_of(unet));
    const auto inputs = diffusion::branch_inputs(unet, own, branches, prompt_ids);
    const at::Tensor t = at::full({diffusion::branch_count(branches) * x.size(0)}, timestep,
                                  x.options().dtype(at::kFloat));
    return diffusion::guided_forward(unet, x, t, inputs, options);
  };
}

Denoiser policy_on(const TrainingTask& task,
                   const diffusion::Network& unet,
                   const std::vector<TrainingPrompt>& prompts,
                   double scale,
                   const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const diffusion::EditCondition edit = edit_condition(task, prompts);
  const Denoiser policy = guided_policy(unet,
                                        {.text = encode(task, prompts),
                                         .negative = unconditional(task),
                                         .time_ids = size_conditions(task),
                                         .image_latents = edit.image_latents,
                                         .reward = edit.reward},
                                        {.scale = scale, .image_scale = edit.image_scale});
  if (ranks.count == 1) return policy;
  return [policy, ranks](const at::Tensor& x, double timestep,
                         const std::vector<int64_t>& prompt_ids) {
    heartbeat(ranks);
    return policy(x, timestep, prompt_ids);
  };
}

}  // namespace finetune
