#pragma once

// The names that Black Forest Labs' code of FLUX.1 gives to the transformer's tensors, in
// diffusers' terms.

#include "diffusion/naming/transformer_names.hpp"

namespace diffusion {

// original: without "model.diffusion_model.": "single_blocks.0.linear1.weight" ->
// {"single_transformer_blocks.0.attn.to_q.weight", ...to_k..., ...to_v..., ...proj_mlp...}, whose
// rows are as 1, 1, 1, 4. A module's path without ".weight" is taken likewise.
OriginalRows flux_rows(const std::string& original);

// The module of the original code that holds diffusers' `module`: "transformer_blocks.0.attn.to_k"
// -> "double_blocks.0.img_attn.qkv". "" when it is none of FLUX.
std::string flux_module(const std::string& module);

}  // namespace diffusion
