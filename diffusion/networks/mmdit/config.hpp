#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace diffusion {

// diffusers' SD3Transformer2DModel config.json, with its defaults.
struct MMDiTConfig {
  int64_t sample_size = 128;  // latent side that it was trained at; not a limit
  int64_t patch_size = 2;
  int64_t in_channels = 16, out_channels = 16;
  int64_t num_layers = 18;
  int64_t attention_head_dim = 64, num_attention_heads = 18;
  int64_t joint_attention_dim = 4096;     // of the text's rows
  int64_t caption_projection_dim = 1152;  // what they are projected to: the width
  int64_t pooled_projection_dim = 2048;   // of the pooled text
  int64_t pos_embed_max_size = 96;        // patches of a side, of the table of positions
  std::vector<int64_t>
      dual_attention_layers{};  // with a second attention of the image (SD3.5 medium)
  bool qk_norm = false;         // "rms_norm" of queries and keys (SD3.5)
};

// Of the hidden state: heads times their width.
int64_t width_of(const MMDiTConfig& config);
bool has_dual_attention(const MMDiTConfig& config, int64_t layer);

// Throws BadInput naming the key when the network has a part that is not supported, or sizes that
// do not fit together.
MMDiTConfig read_mmdit_config(const std::filesystem::path& file);
void write_mmdit_config(const std::filesystem::path& file, const MMDiTConfig& config);

// Throws BadInput when sizes do not fit together. `source` is named in the message.
void check_mmdit_config(const MMDiTConfig& config, const std::string& source);

}  // namespace diffusion
