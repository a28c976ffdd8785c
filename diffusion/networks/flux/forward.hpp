#pragma once

// FLUX's computation.

#include "diffusion/networks/flux/flux.hpp"

namespace diffusion {

// The context_embedder's output.
EmbeddedText embed_text(const Flux& flux,
                        const at::Tensor& hidden);  // hidden: [B, L, joint_attention_dim]

// The velocity. x: [B, in_channels / 4, H, W], H and W even; t: [B], any number type, 0..1000;
// pooled: [B, pooled_projection_dim] -> [B, out_channels / 4, H, W]
at::Tensor flux_forward(const Flux& flux,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const EmbeddedText& text,
                        const at::Tensor& pooled);

// Squares of 2 x 2 latents as tokens, row by row, and back. [B, C, H, W] <-> [B, H W / 4, 4 C], a
// token's values in the order (channel, row, column)
at::Tensor packed_latents(const at::Tensor& x);
at::Tensor unpacked_latents(const at::Tensor& tokens, int64_t height, int64_t width);

}  // namespace diffusion
