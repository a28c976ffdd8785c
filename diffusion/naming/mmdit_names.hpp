#pragma once

// The names that Stability AI's code of Stable Diffusion 3 gives to the transformer's tensors, in
// diffusers' terms.

#include <cstdint>
#include <string>
#include <vector>

namespace diffusion {

// What a tensor of the original code stands for.
struct MMDiTRows {
  // diffusers' tensors whose rows, one after the other, are its rows: one, or queries, keys and
  // values of an attention. Empty: it is no tensor of the transformer.
  std::vector<std::string> names{};
  // The original's rows are shift, scale; diffusers' are scale, shift.
  bool swapped_halves = false;
};

// original: without "model.diffusion_model.": "joint_blocks.0.x_block.attn.qkv.weight" ->
// {"transformer_blocks.0.attn.to_q.weight", ...to_k..., ...to_v...}. blocks: joint blocks of the
// network, the last of which has a modulation of its own. A module's path without ".weight" is
// taken likewise.
MMDiTRows mmdit_rows(const std::string& original, int64_t blocks);

}  // namespace diffusion
