#pragma once

// The names that tensors of LoRA files carry: kohya's, PEFT's, diffusers' older ones, LyCORIS'.

#include <cstdint>
#include <string>

#include "diffusion/naming/part_names.hpp"

namespace diffusion {

struct LoraName {
  std::string part;    // kUnetPart, kTransformerPart, kTextPart or kText2Part
  std::string module;  // "down_blocks.0.attentions.0.proj_in"; the original code's
                       // "input_blocks.1.1.proj_in" and "double_blocks.0.img_attn.qkv" stay
                       // so; "encoder.layers.0.mlp.fc1"
  std::string role;    // "down", "up", "mid", "alpha", "dora_scale", "diff", "hada_...", "lokr_..."
};

// Throws BadInput beginning with `source` for a name of no known form, and for kinds of adapters
// that are not read (OFT, GLoRA, IA3, other architectures), which it names.
LoraName parse_lora_name(const std::string& name, const std::string& source);

// Whether the part is a denoising network, not a text encoder.
bool is_network_part(const std::string& part);

// "down_blocks_0_attentions_0_proj_in" -> "down_blocks.0.attentions.0.proj_in".
std::string dotted_module(const std::string& flat);

// Whether a UNet's module is named as in the original code ("input_blocks.1.1.proj_in").
bool is_original_module(const std::string& module);

// diffusers' name of such a module; any other as it is. `layers_per_block` of the UNet says what
// the original block numbers mean.
std::string diffusers_module(const std::string& module, int64_t layers_per_block);

}  // namespace diffusion
