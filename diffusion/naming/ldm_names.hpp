#pragma once

// The names that the original code of Stable Diffusion (CompVis, Stability AI) and OpenCLIP give to
// tensors, in diffusers' and transformers' terms.

#include <cstdint>
#include <string>

namespace diffusion {

// Of a UNet with `layers_per_block` residual blocks a level, without "model.diffusion_model.":
// "input_blocks.1.0.in_layers.0.weight" -> "down_blocks.0.resnets.0.norm1.weight". "" when it is
// none.
std::string unet_name(const std::string& original, int64_t layers_per_block);

// Of a VAE with `levels` levels, without "first_stage_model.":
// "decoder.up.3.block.0.norm1.weight" -> "decoder.up_blocks.0.resnets.0.norm1.weight". "" when it
// is none.
std::string vae_name(const std::string& original, int64_t levels);

// Of OpenCLIP's text tower, without what stands before "transformer.resblocks.0.": "ln_final.bias"
// -> "text_model.final_layer_norm.bias". The packed projection of queries, keys and values keeps
// its end: "text_model.encoder.layers.0.self_attn.in_proj_weight". "" when it is none.
std::string open_clip_name(const std::string& original);

// diffusers' own earlier names of the VAE's attention (query, key, value, proj_attn) in today's;
// any other name as it is.
std::string current_vae_name(const std::string& name);

}  // namespace diffusion
