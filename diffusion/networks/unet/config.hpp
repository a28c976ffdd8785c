#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/networks/unet/reward_conditioning_config.hpp"

namespace diffusion {

constexpr int64_t kTimeIds = 6;  // SDXL: original height and width, crop top and left, target both

// diffusers' UNet2DConditionModel config.json, as far as Stable Diffusion 1, 2 and XL, their LCM
// distillates and InstructPix2Pix use it. Lists have one entry a level, finest first.
struct UNetConfig {
  int64_t sample_size = 64;  // latent height and width that it was trained at; not a limit
  int64_t in_channels = 4;   // 8: image editing, the latent of the source image comes second
  int64_t out_channels = 4;
  std::vector<bool> down_attention = {true, true, true,
                                      false};  // CrossAttnDownBlock2D or DownBlock2D
  std::vector<bool> up_attention = {false, true, true,
                                    true};  // CrossAttnUpBlock2D or UpBlock2D, coarsest first
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
  std::vector<int64_t> layers_per_block = {2, 2, 2, 2};
  std::vector<int64_t> transformer_layers = {1, 1, 1, 1};  // transformer_layers_per_block
  std::vector<int64_t> heads = {8, 8, 8,
                                8};  // "attention_head_dim": the number of heads, despite its name
  int64_t cross_attention_dim = 768;
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool use_linear_projection =
      false;  // SD2: a transformer's projections are linear layers, not 1x1 convolutions
  bool flip_sin_to_cos = true;
  double freq_shift = 0.0;
  bool upcast_attention = false;   // kept for the file; attention is always computed in fp32
  int64_t time_cond_proj_dim = 0;  // LCM: width of the guidance embedding; 0: none
  // SDXL ("addition_embed_type": "text_time"): the pooled text and six sizes join the time
  // embedding. 0: none of them.
  int64_t addition_time_embed_dim = 0;                // of one size's sinusoids
  int64_t projection_class_embeddings_input_dim = 0;  // pooled width + 6 addition_time_embed_dim
  RewardBranchConfig reward;  // "reward_condition": an editing model's; a key of laurel's own
};

// InstructPix2Pix's UNet reads the source's latent beside its own.
bool reads_image(const UNetConfig& config);

// Throws BadInput naming the key when the network has a part that is not supported, or sizes that
// do not fit together.
UNetConfig read_unet_config(const std::filesystem::path& file);
void write_unet_config(const std::filesystem::path& file, const UNetConfig& config);

// Throws BadInput when the lists' lengths or the widths do not fit together. `source` is named in
// the message.
void check_unet_config(const UNetConfig& config, const std::string& source);

}  // namespace diffusion
