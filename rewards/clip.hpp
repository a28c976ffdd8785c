#pragma once

// CLIP (Radford et al., "Learning transferable visual models from natural language supervision",
// 2021): two towers and their projections, named as in Hugging Face's CLIPModel.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <array>
#include <filesystem>
#include <string>

#include "data/nn/clip_text.hpp"

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

// From preprocessor_config.json: the short side to `size` by antialiased bicubic, the centre `size`
// x `size`, normalised.
struct ImageTransform {
  int64_t size = 224;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};
};

struct Clip {
  nn::ClipText text;
  ClipVision vision;
  at::Tensor text_projection;    // [P, D text]
  at::Tensor visual_projection;  // [P, D vision]
  at::Tensor logit_scale;        // [] its logarithm
  ImageTransform transform;
};

// images: [B, 3, H, W] in [0, 1] -> [B, 3, size, size]. Differentiable; images of the native size
// are only normalised. Against the reference, which resizes 8-bit images in two rounded passes:
// within 1/255 before the normalisation.
at::Tensor clip_preprocess(const ImageTransform& transform, const at::Tensor& images);
// x: [B, 3, size, size] preprocessed -> [B, D], the class token after post_layernorm.
at::Tensor clip_vision_forward(const ClipVision& w, const at::Tensor& x);

// Unit-norm embeddings, differentiable. images: [B, 3, H, W] in [0, 1]; ids: [B, L] int64. -> [B,
// P]
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

// A folder with config.json, model.safetensors and preprocessor_config.json (absent: CLIP's own
// constants). Throws BadInput naming the file and the key or tensor.
Clip load_clip(const std::filesystem::path& folder);
void save_clip(const std::filesystem::path& folder, const Clip& w, at::ScalarType dtype);

}  // namespace rewards
