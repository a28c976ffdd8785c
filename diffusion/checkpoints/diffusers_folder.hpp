#pragma once

// A checkpoint in diffusers' folder layout: model_index.json and a folder for each part.

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// <folder>/{model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/}, SDXL also
// {text_encoder_2/, tokenizer_2/}; .fp16 variants of weights are accepted. Throws BadInput when the
// path is something else (naming what it is and what was expected), when parts are missing, or when
// they do not fit together.
Pipeline load_pipeline(const std::filesystem::path& folder);

// The parts that pretraining of a UNet needs. An empty tokenizer path means the folder "tokenizer"
// beside text_encoder.
struct PipelineParts {
  std::filesystem::path vae, text_encoder, tokenizer;
};
// A pipeline without a UNet.
Pipeline load_parts(const PipelineParts& parts);

// Writes the network into its part of such a folder, without adapters: <folder>/unet.
void save_network(const std::filesystem::path& folder,
                  const Network& network,
                  at::ScalarType dtype);
// Writes such a folder. `dtype` of all weights: at::kHalf or at::kFloat.
void save_pipeline(const std::filesystem::path& folder,
                   const Pipeline& pipeline,
                   at::ScalarType dtype);

}  // namespace diffusion
