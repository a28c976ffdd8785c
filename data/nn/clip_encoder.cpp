#include "data/nn/clip_encoder.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/error.hpp"

namespace nn {
namespace {

Linear normal_linear(int64_t out, int64_t in, double std, at::Generator& generator) {
  return {normal_tensor({out, in}, std, generator), at::zeros({out}), {}};
}

// Computes the first `queries` tokens of x. -> [B, queries, D]
at::Tensor self_attention(const EncoderLayer& w,
                          const at::Tensor& x,
                          int64_t queries,
                          int64_t heads,
                          const at::Tensor& mask) {
  const at::Tensor q = linear(w.q_proj, x.narrow(1, 0, queries));
  return linear(w.out_proj, attention(q, linear(w.k_proj, x), linear(w.v_proj, x), heads, mask));
}

}  // namespace

Activation activation_by_name(const std::string& name, const std::string& where) {
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "gelu") return Activation::kGelu;
  throw data::BadInput(where + ": hidden_act: expected quick_gelu or gelu, found '" + name + "'");
}

const char* name_of(Activation activation) {
  return activation == Activation::kGelu ? "gelu" : "quick_gelu";
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  return activation == Activation::kGelu ? at::gelu(x) : x * at::sigmoid(1.702 * x);
}

at::Tensor encoder_layer_forward(const EncoderLayer& w,
                                 const EncoderConfig& config,
                                 const at::Tensor& x,
                                 const at::Tensor& mask,
                                 int64_t first) {
  const int64_t count = first > 0 ? first : x.size(1);
  const at::Tensor y =
      x.narrow(1, 0, count) + self_attention(w, layer_norm(w.layer_norm1, x, config.layer_norm_eps),
                                             count, config.num_attention_heads, mask);
  const at::Tensor inner = linear(w.fc1, layer_norm(w.layer_norm2, y, config.layer_norm_eps));
  return y + linear(w.fc2, activate(config.hidden_act, inner));
}

at::Tensor encoder_forward(const Encoder& w,
                           const EncoderConfig& config,
                           const at::Tensor& x,
                           int64_t first) {
  at::Tensor y = x;
  for (size_t i = 0; i < w.layers.size(); ++i)
    y = encoder_layer_forward(w.layers[i], config, y, {}, i + 1 == w.layers.size() ? first : 0);
  return y;
}

Encoder take_encoder(const data::Weights& weights,
                     const EncoderConfig& config,
                     const std::string& prefix) {
  const int64_t width = config.hidden_size, inner = config.intermediate_size;
  Encoder w;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string name = prefix + ".layers." + std::to_string(i);
    EncoderLayer layer;
    layer.layer_norm1 = take_norm(weights, name + ".layer_norm1", width);
    layer.layer_norm2 = take_norm(weights, name + ".layer_norm2", width);
    layer.q_proj = take_linear(weights, name + ".self_attn.q_proj", width, width);
    layer.k_proj = take_linear(weights, name + ".self_attn.k_proj", width, width);
    layer.v_proj = take_linear(weights, name + ".self_attn.v_proj", width, width);
    layer.out_proj = take_linear(weights, name + ".self_attn.out_proj", width, width);
    layer.fc1 = take_linear(weights, name + ".mlp.fc1", inner, width);
    layer.fc2 = take_linear(weights, name + ".mlp.fc2", width, inner);
    w.layers.push_back(layer);
  }
  return w;
}

Encoder make_encoder(const EncoderConfig& config, at::Generator& generator) {
  const int64_t width = config.hidden_size, inner = config.intermediate_size;
  const double wide = static_cast<double>(width);
  const double attention_std = 1.0 / std::sqrt(wide);
  const double residual_std =
      attention_std / std::sqrt(2.0 * static_cast<double>(config.num_hidden_layers));
  const double inner_std = 1.0 / std::sqrt(2.0 * wide);
  Encoder w;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    EncoderLayer layer;
    layer.layer_norm1 = make_norm(width);
    layer.layer_norm2 = make_norm(width);
    for (Linear* projection : {&layer.q_proj, &layer.k_proj, &layer.v_proj}) {
      *projection = normal_linear(width, width, attention_std, generator);
    }
    layer.out_proj = normal_linear(width, width, residual_std, generator);
    layer.fc1 = normal_linear(inner, width, inner_std, generator);
    layer.fc2 = normal_linear(width, inner, residual_std, generator);
    w.layers.push_back(layer);
  }
  return w;
}

void for_each_linear(Encoder& w,
                     const std::string& prefix,
                     const std::function<void(const std::string&, Linear&)>& visit) {
  for (size_t i = 0; i < w.layers.size(); ++i) {
    EncoderLayer& layer = w.layers[i];
    const std::string name = prefix + ".layers." + std::to_string(i);
    visit(name + ".self_attn.q_proj", layer.q_proj);
    visit(name + ".self_attn.k_proj", layer.k_proj);
    visit(name + ".self_attn.v_proj", layer.v_proj);
    visit(name + ".self_attn.out_proj", layer.out_proj);
    visit(name + ".mlp.fc1", layer.fc1);
    visit(name + ".mlp.fc2", layer.fc2);
  }
}

void for_each_tensor(Encoder& w, const std::string& prefix, const data::TensorVisitor& visit) {
  for (size_t i = 0; i < w.layers.size(); ++i) {
    const std::string name = prefix + ".layers." + std::to_string(i);
    for_each_tensor(w.layers[i].layer_norm1, name + ".layer_norm1", visit);
    for_each_tensor(w.layers[i].layer_norm2, name + ".layer_norm2", visit);
  }
  for_each_linear(w, prefix, [&](const std::string& name, Linear& layer) {
    for_each_tensor(layer, name, visit);
  });
}

at::Tensor normal_tensor(at::IntArrayRef shape, double std, at::Generator& generator) {
  return at::empty(shape, at::kFloat).normal_(0.0, std, generator);
}

}  // namespace nn
