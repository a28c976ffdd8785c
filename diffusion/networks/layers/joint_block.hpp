#pragma once

// The block of the transformers in which image and text are two streams with weights of their own
// that attend to each other (Esser et al. 2024, figure 2b).

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/nn/rotary.hpp"
#include "diffusion/networks/layers/layer_walk.hpp"
#include "diffusion/networks/layers/streamed_block.hpp"

namespace diffusion {

// One stream's part of an attention.
struct StreamAttention {
  nn::Linear to_q, to_k, to_v;  // with bias
  nn::Norm norm_q, norm_k;      // [head width], of every head; undefined without normalised queries
  nn::Linear to_out;            // undefined where the block passes the stream on otherwise or not
};

// One stream of a block: image or text.
struct BlockStream {
  nn::Linear modulation;  // of the time embedding: see JointBlock
  StreamAttention attn;
  nn::Linear ff_in, ff_out;  // undefined for the text of a last block
};

// Chunks of a modulation, [width] each: shift, scale and gate of the attention, then of the MLP;
// with attn2 also shift, scale and gate of that. A last block's text: scale, shift.
struct JointBlock {
  BlockStream image, text;
  StreamAttention attn2;  // of the image alone; undefined where the block has none
  BlockReader<JointBlock> read{};
};

// How a block is built.
struct JointBlockForm {
  int64_t heads, head_width;
  bool normalised;    // queries and keys
  bool dual = false;  // has attn2
  bool last = false;  // the text goes no further
};
struct AttentionNames {
  const char *q, *k, *v, *norm_q, *norm_k, *out;  // out "": none
};
// Under diffusers' names. `prefix`: "transformer_blocks.0."
void walk(JointBlock& w,
          const JointBlockForm& form,
          const std::string& prefix,
          const LayerWalk& each);
void walk(StreamAttention& w,
          const JointBlockForm& form,
          const std::string& prefix,
          const AttentionNames& names,
          const LayerWalk& each);
inline constexpr AttentionNames kImageNames{"to_q", "to_k", "to_v", "norm_q", "norm_k", "to_out.0"};

// What a block's pass depends on beside its inputs.
struct JointBlockShape {
  int64_t heads, image_tokens;
  bool last = false;
  nn::RotaryTable places{};  // of all tokens
};
// Both streams in one tensor, the image's tokens first. in: [B, image + text, D], time: [B, D]
// after SiLU -> the same, of a last block the image alone
at::Tensor joint_block_forward(const JointBlock& w,
                               const JointBlockShape& shape,
                               const at::Tensor& in,
                               const at::Tensor& time);

// Parts of such blocks.

// Layer norm without weights, eps 1e-6. x: [B, L, D]
at::Tensor normalised(const at::Tensor& x);
// Scaled and shifted (Peebles and Xie 2023, adaLN). normed: [B, L, D]; shift, scale: [B, D]
at::Tensor modulate(const at::Tensor& normed, const at::Tensor& shift, const at::Tensor& scale);
struct QueryKeyValue {
  at::Tensor q, k, v;  // [B, L, D]
};
// Queries and keys normalised by head where `w` has the norms. x: [B, L, D]
QueryKeyValue project(const StreamAttention& w, const at::Tensor& x, int64_t heads);
// nn::attention of queries and keys that are turned by their places first.
at::Tensor attend(const QueryKeyValue& in, int64_t heads, const nn::RotaryTable& places);

// The text's rows as the first block reads them: all that depends on the text alone, because the
// text changes with the image in every block.
struct EmbeddedText {
  at::Tensor rows;  // [B, L, width]
};

// Every tensor that a pass reads.
void add_tensors(const nn::Linear& layer, std::vector<at::Tensor>& tensors);
void add_tensors(const StreamAttention& w, std::vector<at::Tensor>& tensors);
std::vector<at::Tensor> tensors_of(const JointBlock& block);

}  // namespace diffusion
