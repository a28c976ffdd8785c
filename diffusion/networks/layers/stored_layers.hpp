#pragma once

#include <string>
#include <vector>

#include "diffusion/networks/layers/layer_source.hpp"

namespace diffusion {

// As checkpoint_layers, but wide weights (nn::is_wide) in fp16 or bf16 keep the file's type and
// stay mapped: half of their memory and no conversion, until prepack (networks/prepack.hpp)
// replaces them. Nothing else computes with them.
LayerSource stored_layers(const data::Weights& weights, std::vector<std::string>& used);

}  // namespace diffusion
