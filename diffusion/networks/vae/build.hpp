#pragma once

// Where VAEs come from: random weights, tensors, folders.

#include <ATen/core/Generator.h>

#include <filesystem>

#include "data/weights/tensor_map.hpp"
#include "diffusion/networks/vae/vae.hpp"

namespace diffusion {

// Random weights, as PyTorch initialises its modules. Throws BadInput when the config's numbers do
// not fit together.
Vae make_vae(const VaeConfig& config, at::Generator& generator);

// Latents that are the pixels themselves, in [-1, 1]: 3 channels, factor 1, nothing to learn. A
// folder of it holds config.json alone, with a class of laurel's own that diffusers does not read.
Vae identity_vae(int64_t sample_size);

// A diffusers folder: config.json and diffusion_pytorch_model.safetensors (or its .fp16 variant).
// Weights become fp32.
Vae load_vae(const std::filesystem::path& folder);
// `dtype`: at::kHalf or at::kFloat.
void save_vae(const std::filesystem::path& folder, const Vae& vae, at::ScalarType dtype);

// From a map of checkpoint names; checks every shape, and that nothing is left over.
Vae vae_from_weights(const data::Weights& weights, const VaeConfig& config);

}  // namespace diffusion
