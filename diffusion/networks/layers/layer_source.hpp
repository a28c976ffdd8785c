#pragma once

// Where the layers of a network come from, and how they are visited.

#include <ATen/core/Generator.h>

#include <functional>
#include <string>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"

namespace diffusion {

// Where layers come from, by their checkpoint name: a file, or a random generator.
struct LayerSource {
  std::function<nn::Linear(const std::string& name, int64_t out, int64_t in, bool bias)> linear;
  std::function<nn::Conv2d(const std::string& name, int64_t out, int64_t in, int64_t kernel)>
      conv2d;
  std::function<nn::Norm(const std::string& name, int64_t channels)> norm;
  std::function<nn::Norm(const std::string& name, int64_t channels)> rms_norm;  // without a bias
};

// New layers, as PyTorch initialises them.
LayerSource random_layers(at::Generator& generator);
// Layers of the meta device: shapes without memory.
LayerSource meta_layers();
// The layers of a checkpoint, fp32. `used` collects the names that were taken. Both arguments must
// outlive the source. Its functions throw BadInput as data::take. Layers with `streamed` in their
// names stay in the file: their tensors are of the meta device (streamed_block.hpp); "": none.
LayerSource checkpoint_layers(const data::Weights& weights,
                              std::vector<std::string>& used,
                              const std::string& streamed = "");
// Throws BadInput naming a tensor of `weights` that is not among `used`.
void check_all_used(const data::Weights& weights, std::vector<std::string> used);

// Called with every layer of a network, in a fixed order.
struct LayerVisitor {
  std::function<void(const std::string& name, nn::Linear& layer)> linear;
  std::function<void(const std::string& name, nn::Conv2d& layer)> conv2d;
  std::function<void(const std::string& name, nn::Norm& layer)> norm;
};

// Every layer that may carry a LoRA, by its module path
// ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"). The caller chooses among them by
// name; diffusers' usual choice is the suffixes to_q, to_k, to_v and to_out.0.
struct AdaptableLayerVisitor {
  std::function<void(const std::string& name, nn::Linear& layer)> linear;
  std::function<void(const std::string& name, nn::Conv2d& layer)> conv2d;
};

}  // namespace diffusion
