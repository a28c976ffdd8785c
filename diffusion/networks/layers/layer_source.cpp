#include "diffusion/networks/layers/layer_source.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/weights/tensor_map.hpp"
#include "diffusion/networks/layers/taken_layers.hpp"

namespace diffusion {

LayerSource random_layers(at::Generator& generator) {
  LayerSource source;
  source.linear = [&](const std::string&, int64_t out, int64_t in, bool bias) {
    return nn::make_linear(out, in, bias, generator);
  };
  source.conv2d = [&](const std::string&, int64_t out, int64_t in, int64_t kernel) {
    return nn::make_conv2d(out, in, kernel, generator);
  };
  source.norm = [](const std::string&, int64_t channels) { return nn::make_norm(channels); };
  source.rms_norm = [](const std::string&, int64_t channels) {
    return nn::Norm{at::ones({channels}), {}};
  };
  return source;
}

LayerSource meta_layers() {
  return taken_layers(
      [](const std::string&, at::IntArrayRef shape) { return at::empty(shape, at::kMeta); });
}

LayerSource checkpoint_layers(const data::Weights& weights,
                              std::vector<std::string>& used,
                              const std::string& streamed) {
  return taken_layers([&weights, &used, streamed](const std::string& name, at::IntArrayRef shape) {
    used.push_back(name);
    if (streamed.empty() || name.find(streamed) == std::string::npos)
      return data::take_sized(weights, name, shape);
    data::stored(weights, name, shape);
    return at::empty(shape, at::kMeta);
  });
}

void check_all_used(const data::Weights& weights, std::vector<std::string> used) {
  std::sort(used.begin(), used.end());
  for (const auto& [name, tensor] : weights.tensors) {
    if (std::binary_search(used.begin(), used.end(), name)) continue;
    throw data::BadInput(weights.source + ": tensor " + name +
                         " is not part of the network that config.json describes (" +
                         std::to_string(weights.tensors.size() - used.size()) +
                         " left over); the config and the weights do not belong together");
  }
}

}  // namespace diffusion
