#pragma once

// The MMDiT's computation.

#include "diffusion/networks/mmdit/mmdit.hpp"

namespace diffusion {

// The context_embedder's output.
EmbeddedText embed_text(const MMDiT& mmdit,
                        const at::Tensor& hidden);  // hidden: [B, L, joint_attention_dim]

// The velocity. x: [B, in_channels, H, W], H and W multiples of patch_size and at most
// pos_embed_max_size patches; t: [B], any number type, 0..1000; pooled: [B, pooled_projection_dim]
// -> [B, out_channels, H, W]
at::Tensor mmdit_forward(const MMDiT& mmdit,
                         const at::Tensor& x,
                         const at::Tensor& t,
                         const EmbeddedText& text,
                         const at::Tensor& pooled);

}  // namespace diffusion
