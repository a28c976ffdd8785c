#pragma once

// The transformer of Stable Diffusion 3 and 3.5 (Esser et al. 2024, "MMDiT"): diffusers'
// SD3Transformer2DModel. Image and text are two streams with weights of their own that attend to
// each other in every block.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"
#include "diffusion/networks/layers/joint_block.hpp"
#include "diffusion/networks/mmdit/config.hpp"

namespace diffusion {

struct MMDiT {
  MMDiTConfig config;
  nn::Conv2d patch_projection;  // "pos_embed.proj"
  at::Tensor position_table;    // "pos_embed.pos_embed" [1, pos_embed_max_size^2, width]; constant
  nn::Linear time_linear_1, time_linear_2;  // "time_text_embed.timestep_embedder.linear_{1,2}"
  nn::Linear text_linear_1, text_linear_2;  // "time_text_embed.text_embedder.linear_{1,2}"
  nn::Linear context_embedder;
  std::vector<JointBlock> transformer_blocks;
  nn::Linear norm_out;  // "norm_out.linear": scale, shift
  nn::Linear proj_out;
  // As of a UNet.
  bool gradient_checkpointing = false;
};

// From a diffusers folder: config.json and diffusion_pytorch_model.safetensors. Throws BadInput
// naming the file and the key or tensor: missing, not supported, of another shape, or left over.
MMDiT load_mmdit(const std::filesystem::path& folder, bool streamed = false);
// From tensors of diffusers' names. Throws BadInput naming `weights.source` and the tensor.
// streamed: the blocks stay in the file (layers/streamed_block.hpp).
MMDiT mmdit_from_weights(const data::Weights& weights,
                         const MMDiTConfig& config,
                         bool streamed = false);
// Writes such a folder, the weights cast to `dtype` (LoRA not included).
void save_mmdit(const std::filesystem::path& folder, MMDiT& mmdit, at::ScalarType dtype);
// Random weights, as PyTorch initialises the layers.
MMDiT make_mmdit(const MMDiTConfig& config, at::Generator& generator);
// The network with tensors of the meta device. Throws BadInput as make_mmdit does.
MMDiT meta_mmdit(const MMDiTConfig& config);

// Sines and cosines of a patch's column, then of its row (Dosovitskiy et al. 2021 with fixed
// positions; diffusers' get_2d_sincos_pos_embed). -> [1, pos_embed_max_size^2, width] fp32
at::Tensor sincos_positions(const MMDiTConfig& config);

void for_each_tensor(MMDiT& mmdit, const std::string& prefix, const data::TensorVisitor& visit);
// As of a UNet (networks/unet/unet.hpp).
MMDiT with_compute_dtype(const MMDiT& mmdit, at::ScalarType type);
void for_each_adaptable_layer(MMDiT& mmdit, const AdaptableLayerVisitor& visit);

}  // namespace diffusion
