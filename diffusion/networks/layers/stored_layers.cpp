#include "diffusion/networks/layers/stored_layers.hpp"

#include <ATen/ATen.h>

#include "data/nn/prepacked.hpp"

namespace diffusion {
namespace {

bool is_half(const data::Weights& weights, const std::string& name, at::IntArrayRef shape) {
  const at::ScalarType type = data::stored(weights, name, shape).scalar_type();
  return type == at::kHalf || type == at::kBFloat16;
}

// Its type kept: a value that is not finite is found as data::take_sized finds it.
at::Tensor take_stored(const data::Weights& weights,
                       const std::string& name,
                       at::IntArrayRef shape) {
  const at::Tensor& tensor = data::stored(weights, name, shape);
  return data::all_finite(tensor) ? tensor : data::take_sized(weights, name, shape);
}

}  // namespace

LayerSource stored_layers(const data::Weights& weights, std::vector<std::string>& used) {
  const auto take = [&weights, &used](const std::string& name, at::IntArrayRef shape) {
    used.push_back(name);
    return nn::is_wide(shape) && is_half(weights, name, shape)
               ? take_stored(weights, name, shape)
               : data::take_sized(weights, name, shape);
  };
  LayerSource source = checkpoint_layers(weights, used);
  source.linear = [take](const std::string& name, int64_t out, int64_t in, bool bias) {
    nn::Linear w{take(name + ".weight", {out, in}), {}, {}};
    if (bias) w.bias = take(name + ".bias", {out});
    return w;
  };
  source.conv2d = [take](const std::string& name, int64_t out, int64_t in, int64_t kernel) {
    return nn::Conv2d{
        take(name + ".weight", {out, in, kernel, kernel}), take(name + ".bias", {out}), {}};
  };
  return source;
}

}  // namespace diffusion
