#pragma once

// A UNet for sampling alone, whose wide weights are in the file's type (layers/stored_layers.hpp)
// until prepack replaces them. One with a reward branch is read as load_unet reads it.

#include <filesystem>

#include "diffusion/networks/unet/unet.hpp"

namespace diffusion {

// As load_unet and unet_from_weights.
UNet load_stored_unet(const std::filesystem::path& folder);
UNet stored_unet_from_weights(const data::Weights& weights, const UNetConfig& config);

}  // namespace diffusion
