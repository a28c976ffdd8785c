#pragma once

// CLIP's text tower: Stable Diffusion's text encoder, and half of a CLIP (Hugging Face's
// CLIPTextModel).

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "data/nn/clip_encoder.hpp"
#include "data/weights/tensor_map.hpp"

namespace nn {

struct ClipTextConfig {
  EncoderConfig encoder;
  int64_t vocab_size = 49408;
  int64_t max_position_embeddings = 77;
  int64_t projection_dim = 512;  // of the CLIP that it belongs to, and of `text_projection`
  int64_t bos_token_id = 49406;
  int64_t eos_token_id = 49407;  // 2: an old file; the pooled token is then the largest id
  int64_t pad_token_id = 1;
};

struct ClipText {
  ClipTextConfig config;
  at::Tensor token_embedding;     // [V, D] embeddings.token_embedding.weight
  at::Tensor position_embedding;  // [L, D] embeddings.position_embedding.weight
  Encoder encoder;
  Norm final_layer_norm;
  Linear text_projection;  // [projection_dim, D] without bias; undefined: no such part
};

struct TextOutput {
  at::Tensor hidden;       // [B, L, D] after the final norm: what SD 1 and 2 read
  at::Tensor penultimate;  // [B, L, D] before the last layer, without a norm: what SDXL reads
  at::Tensor pooled;       // [B, D] the end token's row after all layers and the final norm, or
                           // [B, projection_dim] that row projected
};
// ids: [B, L] int64, L up to max_position_embeddings. `clip_skip` leaves out that many of the last
// layers of `hidden` and `penultimate`, as diffusers' clip_skip; with all left out there is no
// `penultimate`. Padding is attended to, as Stable Diffusion does.
TextOutput clip_text_forward(const ClipText& w, const at::Tensor& ids, int64_t clip_skip = 0);

// The text tower of a checkpoint, by names with or without "text_model.", without a projection.
ClipText take_clip_text(const data::Weights& weights, const ClipTextConfig& config);
// "text_projection.weight" [projection_dim, D]; undefined where there is none.
Linear take_text_projection(const data::Weights& weights, const ClipTextConfig& config);
ClipText make_clip_text(const ClipTextConfig& config, at::Generator& generator);
// A random `text_projection`, as CLIP's.
Linear make_text_projection(const ClipTextConfig& config, at::Generator& generator);
// `prefix` is "text_model" in every file of the field; the projection stands beside it.
void for_each_tensor(ClipText& w, const std::string& prefix, const data::TensorVisitor& visit);

// A folder with config.json and model.safetensors: the tower, and its projection where the file has
// one (transformers' CLIPTextModelWithProjection). Throws BadInput naming the file and the key or
// tensor.
ClipText load_clip_text(const std::filesystem::path& folder);
void save_clip_text(const std::filesystem::path& folder, const ClipText& w, at::ScalarType dtype);

// config.json's text as such a tower's settings and back; `where` names the file. Absent keys keep
// the defaults above.
ClipTextConfig parse_clip_text_config(const std::string& json, const std::string& where);
std::string clip_text_config_json(const ClipTextConfig& config,
                                  at::ScalarType dtype,
                                  bool projection = false);

}  // namespace nn
