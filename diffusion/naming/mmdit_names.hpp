#pragma once

// The names that Stability AI's code of Stable Diffusion 3 gives to the transformer's tensors, in
// diffusers' terms.

#include "diffusion/naming/transformer_names.hpp"

namespace diffusion {

// original: without "model.diffusion_model.": "joint_blocks.0.x_block.attn.qkv.weight" ->
// {"transformer_blocks.0.attn.to_q.weight", ...to_k..., ...to_v...}. blocks: joint blocks of the
// network, the last of which has a modulation of its own. A module's path without ".weight" is
// taken likewise.
OriginalRows mmdit_rows(const std::string& original, int64_t blocks);

}  // namespace diffusion
