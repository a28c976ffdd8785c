#pragma once

#include "diffusion/networks/mmdit/config.hpp"

namespace tests {

// Latents of 4 x 8 x 8, two blocks, text of 6 and pooled text of 5 channels.
inline diffusion::MMDiTConfig tiny_mmdit_config() {
  return {.sample_size = 8,
          .patch_size = 2,
          .in_channels = 4,
          .out_channels = 4,
          .num_layers = 2,
          .attention_head_dim = 4,
          .num_attention_heads = 2,
          .joint_attention_dim = 6,
          .caption_projection_dim = 8,
          .pooled_projection_dim = 5,
          .pos_embed_max_size = 6};
}

}  // namespace tests
