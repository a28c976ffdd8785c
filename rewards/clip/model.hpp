#pragma once

// CLIP (Radford et al., "Learning transferable visual models from natural language supervision",
// 2021): two towers and their projections, named as in Hugging Face's CLIPModel.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>

#include "data/nn/clip_text.hpp"
#include "rewards/clip/image_transform.hpp"

namespace rewards {

struct ClipVisionConfig {
  nn::EncoderConfig encoder{
      .hidden_size = 768, .intermediate_size = 3072, .num_attention_heads = 12};
  int64_t image_size = 224;
  int64_t patch_size = 32;
  int64_t num_channels = 3;
};
struct ClipVision {
  ClipVisionConfig config;
  at::Tensor class_embedding;     // [D]
  nn::Conv2d patch_embedding;     // [D, 3, patch, patch], no bias
  at::Tensor position_embedding;  // [1 + patches, D]
  nn::Norm pre_layrnorm;          // the checkpoints' spelling
  nn::Encoder encoder;
  nn::Norm post_layernorm;
};

struct Clip {
  nn::ClipText text;
  ClipVision vision;
  at::Tensor text_projection;    // [P, D text]
  at::Tensor visual_projection;  // [P, D vision]
  at::Tensor logit_scale;        // [] its logarithm
  ImageTransform transform{};    // Hugging Face's: from preprocessor_config.json
};

// x: [B, 3, size, size] preprocessed -> [B, 1 + patches, D], before post_layernorm.
at::Tensor clip_vision_tokens(const ClipVision& w, const at::Tensor& x);
// -> [B, D], the class token after post_layernorm.
at::Tensor clip_vision_forward(const ClipVision& w, const at::Tensor& x);

// Unit-norm embeddings, differentiable. images: [B, 3, H, W] in [0, 1], of which 8-bit ones without
// a gradient are preprocessed exactly as in Python; ids: [B, L] int64. -> [B, P]
at::Tensor image_features(const Clip& w, const at::Tensor& images);
at::Tensor text_features(const Clip& w, const at::Tensor& ids);

struct ClipConfig {
  nn::ClipTextConfig text;
  ClipVisionConfig vision;
  int64_t projection_dim = 512;
};
Clip make_clip(const ClipConfig& config, at::Generator& generator);
void for_each_tensor(Clip& w,
                     const std::string& prefix,
                     const data::TensorVisitor& visit);  // prefix: ""

}  // namespace rewards
