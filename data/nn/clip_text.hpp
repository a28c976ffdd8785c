#pragma once

// CLIP's text tower (Hugging Face's CLIPTextModel): Stable Diffusion's text encoder, and one half
// of a CLIP.

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
  int64_t projection_dim = 512;  // output width of `text_projection`
  int64_t bos_token_id = 49406;
  int64_t eos_token_id = 49407;  // 2 in old files: the pooled token is then the largest id
  int64_t pad_token_id = 1;
};

struct ClipText {
  ClipTextConfig config;
  at::Tensor token_embedding;     // [V, D] embeddings.token_embedding.weight
  at::Tensor position_embedding;  // [L, D] embeddings.position_embedding.weight
  Encoder encoder;
  Norm final_layer_norm;
  Linear text_projection;  // [projection_dim, D] without bias; undefined where the model has none
};

struct TextOutput {
  at::Tensor hidden;       // [B, L, D] after the final norm: what SD 1 and 2 read
  at::Tensor penultimate;  // [B, L, D] before the last layer, without a norm: what SDXL reads
  at::Tensor pooled;       // the end token's row after all layers and the final norm: [B, D], or
                           // [B, projection_dim] with a projection
};
// ids: [B, L] int64, L up to max_position_embeddings. `hidden` and `penultimate` omit the last
// `clip_skip` layers, as diffusers' clip_skip; when that omits all layers, `penultimate` is
// undefined. Padding is not masked, as in Stable Diffusion.
TextOutput clip_text_forward(const ClipText& w, const at::Tensor& ids, int64_t clip_skip = 0);

// The text tower of a checkpoint, whose names may or may not begin with "text_model."; without a
// projection.
ClipText take_clip_text(const data::Weights& weights, const ClipTextConfig& config);
// "text_projection.weight" [projection_dim, D]; undefined where the checkpoint has none.
Linear take_text_projection(const data::Weights& weights, const ClipTextConfig& config);
ClipText make_clip_text(const ClipTextConfig& config, at::Generator& generator);
// A random `text_projection`, initialised as CLIP's.
Linear make_text_projection(const ClipTextConfig& config, at::Generator& generator);
// `prefix` is "text_model" in the usual files; the projection's name does not begin with it.
void for_each_tensor(ClipText& w, const std::string& prefix, const data::TensorVisitor& visit);

// Loads a folder with config.json and model.safetensors: the tower, and its projection where the
// file has one (transformers' CLIPTextModelWithProjection). Throws BadInput with the file and the
// key or tensor.
ClipText load_clip_text(const std::filesystem::path& folder);
void save_clip_text(const std::filesystem::path& folder, const ClipText& w, at::ScalarType dtype);

// Parses and writes the text of config.json; `where` names the file. Absent keys keep the defaults
// above.
ClipTextConfig parse_clip_text_config(const std::string& json, const std::string& where);
std::string clip_text_config_json(const ClipTextConfig& config,
                                  at::ScalarType dtype,
                                  bool projection = false);

}  // namespace nn
