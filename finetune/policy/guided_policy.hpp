#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "diffusion/pipeline/guidance.hpp"

namespace finetune {

// A policy as rollout and objective see it: latents, a timestep and each latent's prompt, to the
// guided model output. x: [B, C, H, W]; prompt_ids: B rows of whatever conditions the denoiser
// holds -> [B, C, H, W]
using Denoiser = std::function<at::Tensor(
    const at::Tensor& x, int64_t timestep, const std::vector<int64_t>& prompt_ids)>;

// What an editing model reads beside the text. N rows, one a prompt; undefined tensors: nothing.
struct EditCondition {
  at::Tensor image_latents;           // [N, C, h, w] raw latents of the source images
  diffusion::RewardCondition reward;  // what the edits should earn
  double image_scale = 1.0;           // guidance by the source image (GuidanceOptions)
};

struct Guidance {
  diffusion::TextCondition conditions;   // N rows, one a prompt
  diffusion::TextCondition uncondition;  // 1 row, of the empty (or a negative) prompt
  double scale =
      5.0;  // uncond + scale (cond - uncond); up to 1: none, the prompt alone is computed
  at::Tensor time_ids{};  // [1, 6] SDXL's sizes; undefined otherwise
  EditCondition edit{};
};

// The UNet with classifier-free guidance in one batch of all branches (diffusion::guidance_batch).
// Gradients flow through every one. A UNet that embeds the scale (LCM) reads it instead. The keys
// and values of a text are computed once a call, however many latents share it.
Denoiser guided_denoiser(const diffusion::UNet& unet, const Guidance& guidance);

}  // namespace finetune
