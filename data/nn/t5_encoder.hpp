#pragma once

// The encoder of T5 v1.1 (Raffel et al. 2020; Shazeer 2020 for its gated MLP): transformers'
// T5EncoderModel, a text encoder of Stable Diffusion 3 and FLUX.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"

namespace nn {

// With the sizes of T5 v1.1 XXL.
struct T5Config {
  int64_t vocab_size = 32128;
  int64_t d_model = 4096;
  int64_t d_kv = 64;  // of a head
  int64_t d_ff = 10240;
  int64_t num_layers = 24;
  int64_t num_heads = 64;
  int64_t relative_attention_num_buckets = 32;  // even
  int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
};

struct T5Layer {
  Norm attention_norm;    // "layer.0.layer_norm", root mean square
  Linear q, k, v, o;      // "layer.0.SelfAttention.*", without bias
  Norm mlp_norm;          // "layer.1.layer_norm"
  Linear wi_0, wi_1, wo;  // "layer.1.DenseReluDense.*", without bias
};

struct T5Encoder {
  T5Config config;
  at::Tensor token_embedding;          // "shared.weight" [vocab_size, d_model]
  at::Tensor relative_attention_bias;  // of block 0, read by all: [buckets, num_heads]
  std::vector<T5Layer> layers;         // "encoder.block.<i>"
  Norm final_layer_norm;               // "encoder.final_layer_norm"
};

// Rows of the text. Padding is attended to, as in Stable Diffusion 3 and FLUX. Computes in the
// dtype of the embedding, in which a layer's matrices are for the time that it runs; throws
// BadInput for fp16, in which T5's activations overflow. ids: [B, L] int64 -> [B, L, d_model]
at::Tensor t5_encoder_forward(const T5Encoder& w, const at::Tensor& ids);

// The bucket of each distance from a query (row) to a key (column). -> [length, length] int64
at::Tensor relative_position_buckets(const T5Config& config, int64_t length);

// The sizes that the tensors show, which is all but the epsilon and the distance of the buckets.
// Throws BadInput naming a tensor that is missing or of another form.
T5Config t5_config_of(const data::Weights& weights);
// From a checkpoint of transformers' names: an encoder alone or a whole T5, whose decoder is not
// read. Matrices of fewer bits than fp32 stay as they are stored, so that they need no memory
// beside the mapped file; all else is fp32. Throws BadInput as data::take.
T5Encoder take_t5_encoder(const data::Weights& weights, const T5Config& config);
// Random weights: normal, with the standard deviations of transformers.
T5Encoder make_t5_encoder(const T5Config& config, at::Generator& generator);
void for_each_tensor(T5Encoder& w, const std::string& prefix, const data::TensorVisitor& visit);

// A folder with config.json and model.safetensors (or its shards). Throws BadInput with the file
// and the key or tensor; for another MLP than gated-gelu (T5 v1.0).
T5Encoder load_t5_encoder(const std::filesystem::path& folder);
void save_t5_encoder(const std::filesystem::path& folder, const T5Encoder& w, at::ScalarType dtype);

T5Config parse_t5_config(const std::string& json, const std::string& where);
std::string t5_config_json(const T5Config& config, at::ScalarType dtype);

}  // namespace nn
