#include "diffusion/networks/layers/stored_layers.hpp"

#include <ATen/ATen.h>

#include "data/nn/prepacked.hpp"
#include "diffusion/networks/layers/taken_layers.hpp"

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
  return taken_layers([&weights, &used](const std::string& name, at::IntArrayRef shape) {
    used.push_back(name);
    return nn::is_wide(shape) && is_half(weights, name, shape)
               ? take_stored(weights, name, shape)
               : data::take_sized(weights, name, shape);
  });
}

}  // namespace diffusion
