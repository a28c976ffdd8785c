#include "diffusion/networks/layers/layer_walk.hpp"

#include <ATen/ATen.h>

namespace diffusion {

LayerWalk building_walk(const LayerSource& source) {
  return {.linear = [source](const std::string& name, nn::Linear& layer, int64_t out,
                             int64_t in) { layer = source.linear(name, out, in, /*bias=*/true); },
          .conv2d = [source](const std::string& name, nn::Conv2d& layer, int64_t out, int64_t in,
                             int64_t kernel) { layer = source.conv2d(name, out, in, kernel); },
          .rms_norm = [source](const std::string& name, nn::Norm& layer,
                               int64_t channels) { layer = source.rms_norm(name, channels); }};
}

LayerWalk tensor_walk(const data::TensorVisitor& visit) {
  return {.linear = [visit](const std::string& name, nn::Linear& layer, int64_t,
                            int64_t) { nn::for_each_tensor(layer, name, visit); },
          .conv2d = [visit](const std::string& name, nn::Conv2d& layer, int64_t, int64_t,
                            int64_t) { nn::for_each_tensor(layer, name, visit); },
          .rms_norm = [visit](const std::string& name, nn::Norm& layer,
                              int64_t) { nn::for_each_tensor(layer, name, visit); }};
}

LayerWalk adaptable_walk(const AdaptableLayerVisitor& visit) {
  return {.linear = [visit](const std::string& name, nn::Linear& layer, int64_t,
                            int64_t) { visit.linear(name, layer); },
          .conv2d = [visit](const std::string& name, nn::Conv2d& layer, int64_t, int64_t,
                            int64_t) { visit.conv2d(name, layer); },
          .rms_norm = [](const std::string&, nn::Norm&, int64_t) {}};
}

AdaptableLayerVisitor casting_visitor(at::ScalarType type) {
  const auto cast = [type](const std::string&, auto& layer) {
    layer.weight = layer.weight.to(type);
    if (layer.bias.defined()) layer.bias = layer.bias.to(type);
  };
  return {cast, cast};
}

}  // namespace diffusion
