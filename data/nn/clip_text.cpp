#include "data/nn/clip_text.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/shape.hpp"
#include "data/nn/clip_config.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"

namespace nn {
namespace {

constexpr int64_t kLegacyEos =
    2;  // config files before transformers 4.31 have this instead of the real id

at::Tensor causal_mask(int64_t length, const at::TensorOptions& options) {
  return at::full({length, length}, -std::numeric_limits<double>::infinity(), options).triu(1);
}

// Position of the end token. ids: [B, L] -> [B]
at::Tensor end_positions(const ClipTextConfig& config, const at::Tensor& ids) {
  if (config.eos_token_id == kLegacyEos) return ids.argmax(-1);
  return ids.eq(config.eos_token_id).to(at::kInt).argmax(-1);
}

}  // namespace

TextOutput clip_text_forward(const ClipText& w, const at::Tensor& ids, int64_t clip_skip) {
  data::check_shape(ids, {-1, -1}, "clip_text_forward: ids");
  const int64_t length = ids.size(1);
  TORCH_CHECK(length <= w.position_embedding.size(0), "clip_text_forward: ids: at most ",
              w.position_embedding.size(0), " tokens, got ", length);
  const EncoderConfig& config = w.config.encoder;
  TORCH_CHECK(clip_skip >= 0 && clip_skip <= config.num_hidden_layers,
              "clip_text_forward: clip_skip: expected 0 to ", config.num_hidden_layers, ", got ",
              clip_skip);
  const at::Tensor x =
      at::embedding(w.token_embedding, ids) + w.position_embedding.slice(0, 0, length);
  const at::Tensor mask = causal_mask(length, x.options().requires_grad(false));
  const auto norm = [&](const at::Tensor& h) {
    return layer_norm(w.final_layer_norm, h, config.layer_norm_eps);
  };
  std::vector<at::Tensor> states{x};  // [0] before the first layer
  for (const auto& layer : w.encoder.layers)
    states.push_back(encoder_layer_forward(layer, config, states.back(), mask));
  const auto kept = static_cast<size_t>(config.num_hidden_layers - clip_skip);
  const at::Tensor last = norm(states.back());
  const at::Tensor row = end_positions(w.config, ids).view({-1, 1, 1}).expand({-1, 1, x.size(2)});
  TextOutput out;
  out.hidden = clip_skip == 0 ? last : norm(states[kept]);
  if (kept > 0) out.penultimate = states[kept - 1];
  out.pooled = last.gather(1, row).squeeze(1);
  if (w.text_projection.weight.defined()) out.pooled = linear(w.text_projection, out.pooled);
  return out;
}

ClipText take_clip_text(const data::Weights& weights, const ClipTextConfig& config) {
  // transformers 5 writes a text tower alone without the prefix.
  const std::string prefix = data::has_prefix(weights, "embeddings.") ? "" : "text_model.";
  const int64_t width = config.encoder.hidden_size;
  ClipText w;
  w.config = config;
  w.token_embedding =
      data::take(weights, prefix + "embeddings.token_embedding.weight", {config.vocab_size, width});
  w.position_embedding = data::take(weights, prefix + "embeddings.position_embedding.weight",
                                    {config.max_position_embeddings, width});
  w.encoder = take_encoder(weights, config.encoder, prefix + "encoder");
  w.final_layer_norm = take_norm(weights, prefix + "final_layer_norm", width);
  return w;
}

Linear take_text_projection(const data::Weights& weights, const ClipTextConfig& config) {
  if (!data::has(weights, "text_projection.weight")) return {};
  return take_linear(weights, "text_projection", config.projection_dim, config.encoder.hidden_size);
}

ClipText make_clip_text(const ClipTextConfig& config, at::Generator& generator) {
  const int64_t width = config.encoder.hidden_size;
  ClipText w;
  w.config = config;
  w.token_embedding = normal_tensor({config.vocab_size, width}, 0.02, generator);
  w.position_embedding = normal_tensor({config.max_position_embeddings, width}, 0.01, generator);
  w.encoder = make_encoder(config.encoder, generator);
  w.final_layer_norm = make_norm(width);
  return w;
}

Linear make_text_projection(const ClipTextConfig& config, at::Generator& generator) {
  const int64_t width = config.encoder.hidden_size;
  const double std = 1.0 / std::sqrt(static_cast<double>(width));
  return {normal_tensor({config.projection_dim, width}, std, generator), {}, {}};
}

void for_each_tensor(ClipText& w, const std::string& prefix, const data::TensorVisitor& visit) {
  visit(prefix + ".embeddings.token_embedding.weight", w.token_embedding);
  visit(prefix + ".embeddings.position_embedding.weight", w.position_embedding);
  for_each_tensor(w.encoder, prefix + ".encoder", visit);
  for_each_tensor(w.final_layer_norm, prefix + ".final_layer_norm", visit);
  if (w.text_projection.weight.defined())
    for_each_tensor(w.text_projection, "text_projection", visit);
}

ClipText load_clip_text(const std::filesystem::path& folder) {
  const std::filesystem::path config = folder / "config.json";
  const ClipTextConfig parsed = parse_clip_text_config(data::read_file(config), config.string());
  const data::Weights weights = data::read_weights(folder, "model");
  ClipText w = take_clip_text(weights, parsed);
  w.text_projection = take_text_projection(weights, parsed);
  return w;
}

void save_clip_text(const std::filesystem::path& folder, const ClipText& w, at::ScalarType dtype) {
  data::write_safetensors(folder / "model.safetensors", data::collect(w, "text_model", dtype));
  data::write_file(folder / "config.json",
                   clip_text_config_json(w.config, dtype, w.text_projection.weight.defined()));
}

ClipTextConfig parse_clip_text_config(const std::string& json, const std::string& where) {
  const nlohmann::json file = data::parse_json_object(json, where);
  ClipTextConfig config;
  config.encoder = parse_encoder_config(file, config.encoder, where);
  read_integer(file, "vocab_size", config.vocab_size, 1, where);
  read_integer(file, "max_position_embeddings", config.max_position_embeddings, 1, where);
  read_integer(file, "projection_dim", config.projection_dim, 1, where);
  read_integer(file, "bos_token_id", config.bos_token_id, 0, where);
  read_integer(file, "eos_token_id", config.eos_token_id, 0, where);
  read_integer(file, "pad_token_id", config.pad_token_id, 0, where);
  return config;
}

std::string clip_text_config_json(const ClipTextConfig& config,
                                  at::ScalarType dtype,
                                  bool projection) {
  nlohmann::ordered_json file;
  file["architectures"] = {projection ? "CLIPTextModelWithProjection" : "CLIPTextModel"};
  file["model_type"] = "clip_text_model";
  write_encoder_config(config.encoder, file);
  file["vocab_size"] = config.vocab_size;
  file["max_position_embeddings"] = config.max_position_embeddings;
  file["projection_dim"] = config.projection_dim;
  file["bos_token_id"] = config.bos_token_id;
  file["eos_token_id"] = config.eos_token_id;
  file["pad_token_id"] = config.pad_token_id;
  file["torch_dtype"] = dtype_name(dtype);
  return data::to_text(file, 2) + "\n";
}

}  // namespace nn
