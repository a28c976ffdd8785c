#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace diffusion {

// diffusers' FluxTransformer2DModel config.json, with its defaults.
struct FluxConfig {
  int64_t in_channels = 64, out_channels = 64;  // of a token: 2 x 2 latents
  int64_t num_layers = 19;                      // blocks of two streams
  int64_t num_single_layers = 38;               // blocks of one stream
  int64_t attention_head_dim = 128, num_attention_heads = 24;
  int64_t joint_attention_dim = 4096;               // of the text's rows
  int64_t pooled_projection_dim = 768;              // of the pooled text
  bool guidance_embeds = false;                     // the guidance scale is an input (dev)
  std::vector<int64_t> axes_dims_rope{16, 56, 56};  // channels of a head that tell 0, row, column
};

constexpr int64_t kFluxPatch = 2;         // latents of a token's side
constexpr int64_t kFluxSampleSize = 128;  // latent side, which config.json does not have

// Of the hidden state: heads times their width.
int64_t width_of(const FluxConfig& config);

// Throws BadInput naming the key when the network has a part that is not supported, or sizes that
// do not fit together.
FluxConfig read_flux_config(const std::filesystem::path& file);
void write_flux_config(const std::filesystem::path& file, const FluxConfig& config);

// Throws BadInput when sizes do not fit together. `source` is named in the message.
void check_flux_config(const FluxConfig& config, const std::string& source);

}  // namespace diffusion
