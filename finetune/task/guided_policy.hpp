#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "diffusion/pipeline/guidance.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// A policy as rollout and update see it: latents, a timestep and each latent's prompt, to the
// guided model output. x: [B, C, H, W]; prompt_ids: B rows of the denoiser's conditioning
// -> [B, C, H, W]
using Denoiser = std::function<at::Tensor(
    const at::Tensor& x, double timestep, const std::vector<int64_t>& prompt_ids)>;

// The UNet under guidance, in one batch of all branches (diffusion::guidance_batch). `conditioning`
// has a row for each prompt and 1 negative. Gradients flow through every branch. The keys and
// values of a text are computed once a call, however many latents share it.
Denoiser guided_policy(const diffusion::Network& unet,
                       const diffusion::Conditioning& conditioning,
                       const diffusion::GuidanceOptions& options);

// A policy on these prompts: the UNet, guided as the configuration says. Each call of it is a piece
// of the rank's work.
Denoiser policy_on(const TrainingTask& task,
                   const diffusion::Network& unet,
                   const std::vector<TrainingPrompt>& prompts,
                   double scale,
                   const ProcessGroup& ranks = {});

}  // namespace finetune
