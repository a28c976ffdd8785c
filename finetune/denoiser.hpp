#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "diffusion/guidance.hpp"

namespace finetune {

// A policy as rollout and objective see it: latents, a timestep and each latent's prompt, to the
// guided model output. x: [B, C, H, W]; prompt_ids: B rows of whatever conditions the denoiser
// holds -> [B, C, H, W]
using Denoiser = std::function<at::Tensor(
    const at::Tensor& x, int64_t timestep, const std::vector<int64_t>& prompt_ids)>;

struct Guidance {
  diffusion::TextCondition conditions;   // N rows, one a prompt
  diffusion::TextCondition uncondition;  // 1 row, of the empty (or a negative) prompt
  double scale = 5.0;  // uncond + scale (cond - uncond); 1: the unconditional half is not computed
  at::Tensor time_ids{};  // [1, 6] SDXL's sizes; undefined otherwise
};

// The UNet with classifier-free guidance in one double batch, [uncond; cond]. Gradients flow
// through both halves. A UNet that embeds the scale (LCM) reads it instead. The keys and values of
// a text are computed once a call, however many latents share it.
Denoiser guided_denoiser(const diffusion::UNet& unet, const Guidance& guidance);

}  // namespace finetune
