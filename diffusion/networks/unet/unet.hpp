#pragma once

// Stable Diffusion's UNet (1, 2, XL): diffusers' UNet2DConditionModel.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"
#include "diffusion/networks/layers/embedding.hpp"
#include "diffusion/networks/unet/blocks.hpp"
#include "diffusion/networks/unet/config.hpp"
#include "diffusion/networks/unet/reward_conditioning.hpp"

namespace diffusion {

// One level on the way down or up, or the middle. Resnets and attentions alternate, resnets first.
struct UNetBlock {
  std::vector<ResnetBlock> resnets;
  std::vector<Transformer> attentions;  // empty in DownBlock2D and UpBlock2D
  nn::Conv2d resample;  // "downsamplers.0.conv" or "upsamplers.0.conv"; undefined at the last level
};

struct UNet {
  UNetConfig config;
  nn::Conv2d conv_in;
  nn::Linear time_linear_1, time_linear_2;  // "time_embedding.linear_1", "time_embedding.linear_2"
  nn::Linear time_cond_proj;  // "time_embedding.cond_proj"; undefined without time_cond_proj_dim
  nn::Linear add_linear_1, add_linear_2;  // "add_embedding.linear_1", ".linear_2"; SDXL only
  RewardBranch reward;                    // undefined layers without one in the config
  std::vector<UNetBlock> down_blocks;
  UNetBlock mid_block;
  std::vector<UNetBlock> up_blocks;  // coarsest first
  nn::Norm conv_norm_out;
  nn::Conv2d conv_out;
  // A backward pass recomputes each block's activations: about a third more time, a fraction of the
  // memory, the same gradients bit for bit.
  bool gradient_checkpointing = false;
};

// From a diffusers folder: config.json and diffusion_pytorch_model.safetensors or
// diffusion_pytorch_model.fp16.safetensors. Throws BadInput naming the file and the key or tensor:
// missing, not supported, of another shape, or left over.
UNet load_unet(const std::filesystem::path& folder);
// From tensors of diffusers' names. Throws BadInput naming `weights.source` and the tensor.
UNet unet_from_weights(const data::Weights& weights, const UNetConfig& config);
// Writes such a folder, the weights cast to `dtype` (LoRA not included).
void save_unet(const std::filesystem::path& folder, UNet& unet, at::ScalarType dtype);
// Random weights, as PyTorch initialises the layers; a reward branch is zero-initialised.
UNet make_unet(const UNetConfig& config, at::Generator& generator);

// The network with tensors of the meta device: names, shapes and sizes without memory. Throws
// BadInput as make_unet does.
UNet meta_unet(const UNetConfig& config);

void for_each_tensor(UNet& unet, const std::string& prefix, const data::TensorVisitor& visit);

// The same network with the weights of its convolutions and linear layers in `type`, for runs that
// compute in it and do not train: they are not converted at every use. Norms stay fp32.
UNet with_compute_dtype(const UNet& unet, at::ScalarType type);

void for_each_adaptable_layer(UNet& unet, const AdaptableLayerVisitor& visit);

}  // namespace diffusion
