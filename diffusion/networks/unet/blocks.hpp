#pragma once

// The two blocks of Stable Diffusion's UNet (Rombach et al. 2022), with diffusers' names:
// ResnetBlock2D and Transformer2DModel. Every layer is fp32.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "data/nn/layers.hpp"
#include "diffusion/networks/layers/layer_source.hpp"

namespace diffusion {

struct ResnetBlock {
  nn::Norm norm1;
  nn::Conv2d conv1;
  nn::Linear time_emb_proj;
  nn::Norm norm2;
  nn::Conv2d conv2;
  nn::Conv2d conv_shortcut;  // undefined weight where in and out have the same width
};

struct Attention {
  nn::Linear to_q, to_k, to_v;  // without bias
  nn::Linear to_out;            // "to_out.0"
};

struct TransformerBlock {
  nn::Norm norm1;
  Attention attn1;  // among the pixels
  nn::Norm norm2;
  Attention attn2;  // from the pixels to the text
  nn::Norm norm3;
  nn::Linear ff_in, ff_out;  // "ff.net.0.proj" (GEGLU), "ff.net.2"
};

struct Transformer {
  using Projection = std::variant<nn::Conv2d, nn::Linear>;  // Linear with use_linear_projection
  int64_t heads = 1;
  nn::Norm norm;
  Projection proj_in, proj_out;
  std::vector<TransformerBlock> transformer_blocks;
};

// Sizes that all blocks of a network share, beside their widths.
struct BlockSizes {
  int64_t time_width = 0;     // of the time embedding
  int64_t context_width = 0;  // of the text embedding
  bool linear_projection = false;
};
ResnetBlock build_resnet(const LayerSource& source,
                         const std::string& name,
                         int64_t in,
                         int64_t out,
                         const BlockSizes& sizes);
struct TransformerShape {
  int64_t width, heads, layers;
};
Transformer build_transformer(const LayerSource& source,
                              const std::string& name,
                              const TransformerShape& shape,
                              const BlockSizes& sizes);

void visit_layers(ResnetBlock& w, const std::string& name, const LayerVisitor& visit);
void visit_layers(Transformer& w, const std::string& name, const LayerVisitor& visit);

// Keys and values of one text attention. They depend on the text and the weights alone, so a
// sampler computes them once.
struct KeyValue {
  at::Tensor key, value;  // [B, L, D]
};
KeyValue context_key_value(const Attention& w, const at::Tensor& context);  // context: [B, L, D]

struct BlockOptions {
  int64_t groups;
  double eps;
  bool checkpointing = false;  // activations are recomputed in the backward pass
};
// x: [B, in, H, W], skip: undefined, or the rest of the channels, [B, in - C, H, W] beside x: [B,
// C, H, W]; time: [B, time_width] after SiLU -> [B, out, H, W]
at::Tensor resnet_forward(const ResnetBlock& w,
                          const at::Tensor& x,
                          const at::Tensor& skip,
                          const at::Tensor& time,
                          const BlockOptions& options);

// x: [B, C, H, W] -> the same. `context` points to one entry for each of w.transformer_blocks.
at::Tensor transformer_forward(const Transformer& w,
                               const at::Tensor& x,
                               const KeyValue* context,
                               const BlockOptions& options);

}  // namespace diffusion
