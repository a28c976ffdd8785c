#pragma once

// The UNet's computation.

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/networks/unet/unet.hpp"

namespace diffusion {

// The keys and values of the text in every text attention, in the network's order. A sampler
// computes them once; in training they must be recomputed when the weights or the LoRA of to_k and
// to_v have changed.
using ContextKeys = std::vector<KeyValue>;
ContextKeys context_keys(const UNet& unet,
                         const at::Tensor& context);  // context: [B, L, cross_attention_dim]

// What some networks read beside the text; each undefined where the config has no such part.
struct ExtraConditions {
  at::Tensor text_embeds;    // [B, P] SDXL: the second text encoder's pooled, projected output
  at::Tensor time_ids;       // [B, 6] SDXL: original height, width, crop top, left, target h., w.
  at::Tensor timestep_cond;  // [B, time_cond_proj_dim] LCM: guidance_embedding
  RewardCondition reward;    // of a UNet with a reward branch; undefined: nothing is requested
};

// The network's output, whatever it predicts (eps, v, x0).
// x: [B, in_channels, H, W]; t: [B], any number type, 0 .. 999; context: [B, L,
// cross_attention_dim]
// -> [B, out_channels, H, W]
at::Tensor unet_forward(const UNet& unet,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const at::Tensor& context,
                        const ExtraConditions& added = {});
at::Tensor unet_forward(const UNet& unet,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const ContextKeys& keys,
                        const ExtraConditions& added = {});

}  // namespace diffusion
