#pragma once

// The one list of a network's layers and their sizes, by which it is built and visited.

#include <functional>
#include <string>

#include "diffusion/networks/layers/layer_source.hpp"

namespace diffusion {

// Called with every layer and its sizes, in the order of the checkpoint.
struct LayerWalk {
  std::function<void(const std::string& name, nn::Linear& layer, int64_t out, int64_t in)> linear;
  std::function<void(
      const std::string& name, nn::Conv2d& layer, int64_t out, int64_t in, int64_t k)>
      conv2d;
  std::function<void(const std::string& name, nn::Norm& layer, int64_t channels)> rms_norm;
};

// Takes every layer from `source`, linear ones with a bias.
LayerWalk building_walk(const LayerSource& source);
// Visits every tensor.
LayerWalk tensor_walk(const data::TensorVisitor& visit);
// Visits every layer that may carry a LoRA.
LayerWalk adaptable_walk(const AdaptableLayerVisitor& visit);

// Gives the weights and biases of the visited layers that type.
AdaptableLayerVisitor casting_visitor(at::ScalarType type);

}  // namespace diffusion
