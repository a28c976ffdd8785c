#pragma once

// The latent autoencoder: diffusers' AutoencoderKL by its config.json, weights named as in its
// safetensors files (Rombach et al., "High-resolution image synthesis with latent diffusion
// models", 2022, section 3.1).

#include <ATen/core/Tensor.h>

#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"

namespace diffusion {

// The keys of diffusers' vae/config.json. The image is 2^(levels - 1) times as wide and as high as
// the latent.
struct VaeConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  int64_t layers_per_block = 1;
  std::vector<int64_t> block_out_channels{64};
  int64_t norm_num_groups = 32;  // divides every block's channels
  int64_t sample_size = 32;      // pixels of a side that it was trained on
  double scaling_factor =
      0.18215;  // unit-variance latent = scaling_factor * (raw latent - shift_factor)
  double shift_factor = 0.0;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;
  bool identity = false;     // no network: latents are pixels; see identity_vae()
  bool force_upcast = true;  // fp16 overflows in it: computed in fp32 there (data::FullPrecision)
};

struct VaeResnet {
  nn::Norm norm1, norm2;
  nn::Conv2d conv1, conv2;
  nn::Conv2d conv_shortcut;  // undefined where in and out channels are equal
};
struct VaeAttention {  // one head
  nn::Norm group_norm;
  nn::Linear to_q, to_k, to_v, to_out;
};
struct VaeMid {
  VaeResnet first, second;
  VaeAttention attention;  // undefined without mid_block_add_attention
};
struct VaeBlock {
  std::vector<VaeResnet> resnets;
  nn::Conv2d resample;  // of the down- or upsampler; undefined in the last block
};
struct VaeCoder {  // the encoder or the decoder
  nn::Conv2d conv_in, conv_out;
  std::vector<VaeBlock> blocks;
  VaeMid mid;
  nn::Norm conv_norm_out;
};
struct Vae {
  VaeConfig config;
  VaeCoder encoder, decoder;
  nn::Conv2d quant_conv, post_quant_conv;  // undefined where the config says so
  // To save memory, as diffusers' enable_slicing and enable_tiling:
  bool use_slicing = false;  // one image of a batch at a time
  int64_t tile_size = 0;     // larger images in tiles of this side, pixels; 0: whole
};

// Turns tiling on, with tiles of `pixels` a side, 0: the size that the VAE was trained at. Throws
// BadInput when a side is no multiple of 4 latent elements, which overlaps by a quarter need.
void enable_tiling(Vae& vae, int64_t pixels = 0);

// Pixels per latent element along a side.
int64_t vae_factor(const VaeConfig& config);

void for_each_tensor(Vae& vae, const std::string& prefix, const data::TensorVisitor& visit);

// The diagonal Gaussian over raw latents; log variance clamped to [-30, 20].
struct Moments {
  at::Tensor mean;    // [B, latent_channels, H / f, W / f]
  at::Tensor logvar;  // the same
};
Moments vae_encode(
    const Vae& vae,
    const at::Tensor& images);  // images: [B, C, H, W] in [-1, 1], H and W multiples of f
at::Tensor vae_decode(const Vae& vae,
                      const at::Tensor& latents);  // raw latents -> [B, C, H, W], about [-1, 1]

// Unit-variance latents to raw ones and back (scaling_factor, shift_factor).
at::Tensor raw_latents(const VaeConfig& config, const at::Tensor& latents);
at::Tensor scaled_latents(const VaeConfig& config, const at::Tensor& raw);

// images: [B, 3, H, W] in [0, 1] -> [B, C, H / f, W / f], the mean, unit variance
at::Tensor images_to_latents(const Vae& vae, const at::Tensor& images);
// latents: [B, C, h, w], unit variance -> [B, 3, h f, w f] in [0, 1]
at::Tensor latents_to_images(const Vae& vae, const at::Tensor& latents);
// The same before values are clamped to [0, 1]: a clamped one has no gradient.
at::Tensor latents_to_unclamped(const Vae& vae, const at::Tensor& latents);

}  // namespace diffusion
