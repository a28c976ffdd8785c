#pragma once

#include <functional>
#include <string>

#include "diffusion/networks/layers/layer_source.hpp"

namespace diffusion {

// A checkpoint's tensor of that name and shape.
using TakeTensor = std::function<at::Tensor(const std::string& name, at::IntArrayRef shape)>;

// Layers whose weights and biases `take` gives.
LayerSource taken_layers(const TakeTensor& take);

}  // namespace diffusion
