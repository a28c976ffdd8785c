#pragma once

// The transformer of FLUX.1 (Black Forest Labs 2024): diffusers' FluxTransformer2DModel. Blocks of
// two streams as in Stable Diffusion 3, then blocks in which text and image are one; places are
// told by rotary embeddings.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"
#include "diffusion/networks/flux/config.hpp"
#include "diffusion/networks/layers/joint_block.hpp"

namespace diffusion {

// A block of one stream: attention and MLP side by side.
struct SingleBlock {
  nn::Linear modulation;  // "norm.linear": shift, scale, gate [width] each
  StreamAttention attn;   // without to_out
  nn::Linear proj_mlp;    // [4 width, width]
  nn::Linear proj_out;    // [width, 5 width]: of the attention, then of the MLP
  BlockReader<SingleBlock> read{};
};

struct Flux {
  FluxConfig config;
  nn::Linear x_embedder, context_embedder;
  nn::Linear time_linear_1, time_linear_2;  // "time_text_embed.timestep_embedder.linear_{1,2}"
  nn::Linear guidance_linear_1, guidance_linear_2;  // "...guidance_embedder...", or undefined
  nn::Linear text_linear_1, text_linear_2;          // "time_text_embed.text_embedder.linear_{1,2}"
  std::vector<JointBlock> transformer_blocks;
  std::vector<SingleBlock> single_transformer_blocks;
  nn::Linear norm_out;  // "norm_out.linear": scale, shift
  nn::Linear proj_out;
  double guidance = 3.5;  // the scale that it is told, of a network with guidance_embeds
  // As of a UNet.
  bool gradient_checkpointing = false;
};

// From a diffusers folder: config.json and diffusion_pytorch_model.safetensors, which may be
// sharded. Throws BadInput naming the file and the key or tensor: missing, not supported, of
// another shape, or left over.
Flux load_flux(const std::filesystem::path& folder, bool streamed = false);
// From tensors of diffusers' names. Throws BadInput naming `weights.source` and the tensor.
// streamed: the blocks stay in the file (layers/streamed_block.hpp).
Flux flux_from_weights(const data::Weights& weights,
                       const FluxConfig& config,
                       bool streamed = false);
// Writes such a folder, the weights cast to `dtype` (LoRA not included).
void save_flux(const std::filesystem::path& folder, Flux& flux, at::ScalarType dtype);
// Random weights, as PyTorch initialises the layers.
Flux make_flux(const FluxConfig& config, at::Generator& generator);
// The network with tensors of the meta device. Throws BadInput as make_flux does.
Flux meta_flux(const FluxConfig& config);

void for_each_tensor(Flux& flux, const std::string& prefix, const data::TensorVisitor& visit);
// As of a UNet (networks/unet/unet.hpp).
Flux with_compute_dtype(const Flux& flux, at::ScalarType type);
void for_each_adaptable_layer(Flux& flux, const AdaptableLayerVisitor& visit);

// Every tensor that a block's forward pass reads.
std::vector<at::Tensor> tensors_of(const SingleBlock& block);

}  // namespace diffusion
