#include "data/nn/t5_encoder.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "data/base/config_numbers.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/shape.hpp"
#include "data/nn/clip_config.hpp"
#include "data/nn/rms_norm.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"

using nlohmann::json;
namespace fs = std::filesystem;

namespace nn {
namespace {

constexpr const char* kEmbedding = "shared.weight";
constexpr const char* kTiedEmbedding = "encoder.embed_tokens.weight";
constexpr const char* kBias =
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
constexpr const char* kGatedGelu = "gated-gelu";

// Every layer and its sizes, in the order of the checkpoint: the one list of names.
template <class EachLinear, class EachNorm>
void walk(T5Encoder& w, const EachLinear& linear, const EachNorm& norm) {
  const T5Config& config = w.config;
  const int64_t width = config.d_model, inner = config.num_heads * config.d_kv;
  for (size_t i = 0; i < w.layers.size(); ++i) {
    T5Layer& layer = w.layers[i];
    const std::string block = "encoder.block." + std::to_string(i) + ".layer.";
    const std::string attention = block + "0.SelfAttention.", mlp = block + "1.DenseReluDense.";
    linear(attention + "q", layer.q, inner, width);
    linear(attention + "k", layer.k, inner, width);
    linear(attention + "v", layer.v, inner, width);
    linear(attention + "o", layer.o, width, inner);
    norm(block + "0.layer_norm", layer.attention_norm);
    linear(mlp + "wi_0", layer.wi_0, config.d_ff, width);
    linear(mlp + "wi_1", layer.wi_1, config.d_ff, width);
    linear(mlp + "wo", layer.wo, width, config.d_ff);
    norm(block + "1.layer_norm", layer.mlp_norm);
  }
  norm("encoder.final_layer_norm", w.final_layer_norm);
}

T5Encoder with_layers(const T5Config& config) {
  T5Encoder w;
  w.config = config;
  w.layers.resize(static_cast<size_t>(config.num_layers));
  return w;
}

// softmax(q k' + bias) v: not scaled by 1 / sqrt(d_kv). x: [B, L, D]; bias: [1, heads, L, L]
at::Tensor self_attention(const T5Layer& w,
                          const T5Config& config,
                          const at::Tensor& x,
                          const at::Tensor& bias) {
  const auto heads = [&](const Linear& layer) {
    return linear(layer, x)
        .view({x.size(0), x.size(1), config.num_heads, config.d_kv})
        .transpose(1, 2);
  };
  const at::Tensor out = at::scaled_dot_product_attention(heads(w.q), heads(w.k), heads(w.v), bias,
                                                          /*dropout_p=*/0.0, /*is_causal=*/false,
                                                          /*scale=*/1.0);
  return linear(w.o, out.transpose(1, 2).reshape({x.size(0), x.size(1), -1}));
}

// The layer with its matrices in `type`: themselves where they are.
T5Layer in_type(T5Layer w, at::ScalarType type) {
  for (Linear* layer : {&w.q, &w.k, &w.v, &w.o, &w.wi_0, &w.wi_1, &w.wo})
    layer->weight = layer->weight.to(type);
  return w;
}

// A matrix of at most two bytes a value as it is stored, after data::take's checks; else in fp32.
at::Tensor take_as_stored(const data::Weights& weights,
                          const std::string& name,
                          std::initializer_list<int64_t> shape) {
  const at::Tensor wide = data::take(weights, name, shape);
  const at::Tensor& own = weights.tensors.at(name);
  return own.itemsize() < wide.itemsize() ? own : wide;
}

at::Tensor layer_forward(const T5Layer& w,
                         const T5Config& config,
                         at::Tensor x,
                         const at::Tensor& bias) {
  const double eps = config.layer_norm_epsilon;
  x = x + self_attention(w, config, rms_norm(w.attention_norm, x, eps), bias);
  const at::Tensor h = rms_norm(w.mlp_norm, x, eps);
  return x + linear(w.wo, at::gelu(linear(w.wi_0, h), "tanh") * linear(w.wi_1, h));
}

void check_config(const T5Config& config, const std::string& where) {
  if (config.relative_attention_num_buckets % 4 != 0) {
    throw data::BadInput(where +
                         ": relative_attention_num_buckets: expected a multiple of 4, found " +
                         std::to_string(config.relative_attention_num_buckets));
  }
  if (config.relative_attention_max_distance <= config.relative_attention_num_buckets / 4) {
    throw data::BadInput(where +
                         ": relative_attention_max_distance: expected more than a quarter of " +
                         "relative_attention_num_buckets, found " +
                         std::to_string(config.relative_attention_max_distance));
  }
}

}  // namespace

at::Tensor relative_position_buckets(const T5Config& config, int64_t length) {
  const int64_t half = config.relative_attention_num_buckets / 2, exact = half / 2;
  const at::Tensor place = at::arange(length, at::kLong);
  const at::Tensor distance = place.unsqueeze(0) - place.unsqueeze(1);  // to a key
  const at::Tensor far = distance.abs();
  // Logarithmic beyond `exact`, in fp32 as there.
  const double range = std::log(static_cast<double>(config.relative_attention_max_distance) /
                                static_cast<double>(exact));
  const at::Tensor logarithmic = (at::log(far.to(at::kFloat) / static_cast<double>(exact)) / range *
                                  static_cast<double>(half - exact))
                                     .clamp_min(0)
                                     .to(at::kLong) +
                                 exact;
  return at::where(far < exact, far, logarithmic.clamp_max(half - 1)) +
         (distance > 0).to(at::kLong) * half;
}

at::Tensor t5_encoder_forward(const T5Encoder& w, const at::Tensor& ids) {
  data::check_shape(ids, {-1, -1}, "t5_encoder_forward: ids");
  if (w.token_embedding.scalar_type() == at::kHalf) {
    throw data::BadInput(
        "T5 text encoder: expected weights in bf16 or fp32, found fp16, in which its activations "
        "overflow");
  }
  const at::Tensor buckets =
      relative_position_buckets(w.config, ids.size(1)).to(w.relative_attention_bias.device());
  const at::Tensor bias = at::embedding(w.relative_attention_bias, buckets)  // [L, L, heads]
                              .permute({2, 0, 1})
                              .unsqueeze(0)
                              .contiguous();
  at::Tensor x = at::embedding(w.token_embedding, ids);
  for (const auto& layer : w.layers)
    x = layer_forward(in_type(layer, x.scalar_type()), w.config, x, bias);
  return rms_norm(w.final_layer_norm, x, w.config.layer_norm_epsilon);
}

T5Encoder take_t5_encoder(const data::Weights& weights, const T5Config& config) {
  check_config(config, weights.source);
  T5Encoder w = with_layers(config);
  const char* embedding = data::has(weights, kEmbedding) ? kEmbedding : kTiedEmbedding;
  w.token_embedding = data::take(weights, embedding, {config.vocab_size, config.d_model});
  w.relative_attention_bias =
      data::take(weights, kBias, {config.relative_attention_num_buckets, config.num_heads});
  walk(
      w,
      [&](const std::string& name, Linear& layer, int64_t out, int64_t in) {
        layer.weight = take_as_stored(weights, name + ".weight", {out, in});
      },
      [&](const std::string& name, Norm& norm) {
        norm.weight = data::take(weights, name + ".weight", {config.d_model});
      });
  return w;
}

T5Config t5_config_of(const data::Weights& weights) {
  const auto sizes = [&](const std::string& name) {
    const auto found = weights.tensors.find(name);
    if (found != weights.tensors.end() && found->second.dim() == 2 && found->second.numel() > 0)
      return std::pair{found->second.size(0), found->second.size(1)};
    throw data::BadInput(
        weights.source + ": tensor " + name + ": expected two axes, as in T5's encoder, found " +
        (found == weights.tensors.end() ? "no such tensor"
                                        : data::shape_text(found->second.sizes())));
  };
  T5Config config;
  const std::string first = "encoder.block.0.layer.";
  std::tie(config.vocab_size, config.d_model) =
      sizes(data::has(weights, kEmbedding) ? kEmbedding : kTiedEmbedding);
  std::tie(config.relative_attention_num_buckets, config.num_heads) = sizes(kBias);
  config.d_kv = sizes(first + "0.SelfAttention.q.weight").first / config.num_heads;
  config.d_ff = sizes(first + "1.DenseReluDense.wi_0.weight").first;
  config.num_layers = data::count_numbered(weights, "encoder.block.");
  if (config.num_layers > static_cast<int64_t>(weights.tensors.size()))
    throw data::BadInput(weights.source + ": encoder.block.*: expected all blocks up to " +
                         std::to_string(config.num_layers - 1) + ", found fewer tensors");
  check_config(config, weights.source);
  return config;
}

T5Encoder make_t5_encoder(const T5Config& config, at::Generator& generator) {
  check_config(config, "make_t5_encoder");
  const auto width = static_cast<double>(config.d_model);
  T5Encoder w = with_layers(config);
  w.token_embedding = normal_tensor({config.vocab_size, config.d_model}, 1.0, generator);
  w.relative_attention_bias = normal_tensor(
      {config.relative_attention_num_buckets, config.num_heads}, 1 / std::sqrt(width), generator);
  walk(
      w,
      [&](const std::string& name, Linear& layer, int64_t out, int64_t in) {
        // Queries are drawn smaller, in place of the scores' 1 / sqrt(d_kv).
        const double keys = name.ends_with(".q") ? static_cast<double>(config.d_kv) : 1;
        layer.weight =
            normal_tensor({out, in}, 1 / std::sqrt(static_cast<double>(in) * keys), generator);
      },
      [&](const std::string&, Norm& norm) { norm.weight = at::ones({config.d_model}); });
  return w;
}

void for_each_tensor(T5Encoder& w, const std::string& prefix, const data::TensorVisitor& visit) {
  visit(prefix + kEmbedding, w.token_embedding);
  visit(prefix + kBias, w.relative_attention_bias);
  walk(
      w,
      [&](const std::string& name, Linear& layer, int64_t, int64_t) {
        for_each_tensor(layer, prefix + name, visit);
      },
      [&](const std::string& name, Norm& norm) { visit(prefix + name + ".weight", norm.weight); });
}

T5Encoder load_t5_encoder(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  const T5Config parsed = parse_t5_config(data::read_file(config), config.string());
  return take_t5_encoder(data::read_weights(folder, "model"), parsed);
}

void save_t5_encoder(const fs::path& folder, const T5Encoder& w, at::ScalarType dtype) {
  data::write_safetensors(folder / "model.safetensors", data::collect(w, "", dtype));
  data::write_file(folder / "config.json", t5_config_json(w.config, dtype));
}

T5Config parse_t5_config(const std::string& text, const std::string& where) {
  const json file = data::parse_json_object(text, where);
  data::check_config_numbers(file, where);
  const json mlp = file.value("feed_forward_proj", json("relu"));
  if (mlp != kGatedGelu) {
    throw data::BadInput(where + ": feed_forward_proj: expected " + kGatedGelu +
                         " (T5 v1.1), found " + data::to_text(mlp));
  }
  T5Config config;
  for (const auto& [key, target] :
       {std::pair{"vocab_size", &config.vocab_size},
        {"d_model", &config.d_model},
        {"d_kv", &config.d_kv},
        {"d_ff", &config.d_ff},
        {"num_layers", &config.num_layers},
        {"num_heads", &config.num_heads},
        {"relative_attention_num_buckets", &config.relative_attention_num_buckets},
        {"relative_attention_max_distance", &config.relative_attention_max_distance}})
    read_integer(file, key, *target, 1, where);
  const json eps = file.value("layer_norm_epsilon", json(config.layer_norm_epsilon));
  if (!eps.is_number() || eps.get<double>() <= 0) {
    throw data::BadInput(where + ": layer_norm_epsilon: expected a number above 0, found " +
                         data::to_text(eps));
  }
  config.layer_norm_epsilon = eps.get<double>();
  check_config(config, where);
  return config;
}

std::string t5_config_json(const T5Config& config, at::ScalarType dtype) {
  nlohmann::ordered_json file;
  file["architectures"] = {"T5EncoderModel"};
  file["model_type"] = "t5";
  file["vocab_size"] = config.vocab_size;
  file["d_model"] = config.d_model;
  file["d_kv"] = config.d_kv;
  file["d_ff"] = config.d_ff;
  file["num_layers"] = config.num_layers;
  file["num_heads"] = config.num_heads;
  file["relative_attention_num_buckets"] = config.relative_attention_num_buckets;
  file["relative_attention_max_distance"] = config.relative_attention_max_distance;
  file["layer_norm_epsilon"] = config.layer_norm_epsilon;
  file["feed_forward_proj"] = kGatedGelu;
  file["torch_dtype"] = dtype_name(dtype);
  return data::to_text(file, 2) + "\n";
}

}  // namespace nn
