#pragma once

// The pre-norm transformer that CLIP's text and vision towers share (Radford et al. 2021; Hugging
// Face's names).

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"

namespace nn {

enum class Activation { kQuickGelu, kGelu };  // x sigmoid(1.702 x); x Phi(x) by erf
// "quick_gelu" or "gelu". Throws BadInput with `where`, the file, for another name.
Activation activation_by_name(const std::string& name, const std::string& where);
const char* name_of(Activation activation);
at::Tensor activate(Activation activation, const at::Tensor& x);

struct EncoderConfig {
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  Activation hidden_act = Activation::kQuickGelu;
  double layer_norm_eps = 1e-5;
};

struct EncoderLayer {
  Norm layer_norm1, layer_norm2;
  Linear q_proj, k_proj, v_proj, out_proj;  // self_attn.*, [D, D]
  Linear fc1, fc2;                          // mlp.*, [intermediate, D] and back
};
struct Encoder {
  std::vector<EncoderLayer> layers;
};

// One layer. x: [B, L, D]; mask: undefined, or [L, L] added to the scores. `first` > 0: computes
// only that many first tokens, which attend to all. -> [B, first or L, D]
at::Tensor encoder_layer_forward(const EncoderLayer& w,
                                 const EncoderConfig& config,
                                 const at::Tensor& x,
                                 const at::Tensor& mask,
                                 int64_t first = 0);
// All layers, without a mask; `first` applies to the last layer. x: [B, L, D] -> [B, first or L, D]
at::Tensor encoder_forward(const Encoder& w,
                           const EncoderConfig& config,
                           const at::Tensor& x,
                           int64_t first = 0);

// `prefix`: "text_model.encoder", for example.
Encoder take_encoder(const data::Weights& weights,
                     const EncoderConfig& config,
                     const std::string& prefix);
// Random weights: normal, with the standard deviations of CLIP's released code (Radford et al.
// 2021); zero biases.
Encoder make_encoder(const EncoderConfig& config, at::Generator& generator);
void for_each_tensor(Encoder& w, const std::string& prefix, const data::TensorVisitor& visit);
// Visits, by its name, every projection that LoRA can adapt.
void for_each_linear(Encoder& w,
                     const std::string& prefix,
                     const std::function<void(const std::string&, Linear&)>& visit);

// A tensor of N(0, std^2).
at::Tensor normal_tensor(at::IntArrayRef shape, double std, at::Generator& generator);

}  // namespace nn
