#pragma once

// A checkpoint in diffusers' folder layout: model_index.json and a folder for each part.

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "diffusion/networks/network_files.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

struct FolderOptions {
  bool without_t5 = false;  // T5 is not read, and its rows are zeros
  NetworkHolding holding{};
};
// <folder>/{model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/}, SDXL also
// {text_encoder_2/, tokenizer_2/}; Stable Diffusion 3 transformer/ in place of unet/, and
// {text_encoder_3/, tokenizer_3/} unless model_index.json says that there are none; .fp16 variants
// of weights are accepted. Throws BadInput when the path is something else (naming what it is and
// what was expected), when parts are missing, or when they do not fit together.
Pipeline load_pipeline(const std::filesystem::path& folder, const FolderOptions& options = {});

// The parts that pretraining of a UNet needs. An empty tokenizer path means the folder "tokenizer"
// beside text_encoder.
struct PipelineParts {
  std::filesystem::path vae, text_encoder, tokenizer;
};
// A pipeline without a UNet.
Pipeline load_parts(const PipelineParts& parts);

// Writes such a folder. `dtype` of all weights: at::kHalf or at::kFloat.
void save_pipeline(const std::filesystem::path& folder,
                   const Pipeline& pipeline,
                   at::ScalarType dtype);

}  // namespace diffusion
