#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "diffusion/unet.hpp"

namespace finetune {

// A policy as rollout and objective see it: latents, a timestep and each latent's prompt, to the
// guided model output. x: [B, C, H, W]; prompt_ids: B rows of whatever conditions the denoiser
// holds -> [B, C, H, W]
using Denoiser = std::function<at::Tensor(
    const at::Tensor& x, int64_t timestep, const std::vector<int64_t>& prompt_ids)>;

struct Guidance {
  at::Tensor conditions;   // [N, L, D] one a prompt
  at::Tensor uncondition;  // [1, L, D] of the empty (or a negative) prompt
  double scale = 5.0;  // uncond + scale (cond - uncond); 1: the unconditional half is not computed
};

// The UNet with classifier-free guidance in one double batch, [uncond; cond]. Gradients flow
// through both halves. The keys and values of a text are computed once a call, however many latents
// share it.
Denoiser guided_denoiser(const diffusion::UNet& unet, const Guidance& guidance);

}  // namespace finetune
