#pragma once

// What a network that reads a sampler's latents must know of the sampler.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/value/network.hpp"

namespace tools {

// Decodes one small latent.
rewards::LatentSpace latent_space_of(const diffusion::Pipeline& pipeline);

// The mean of each prompt's rows of the text encoders. -> [B, D] fp32 on the CPU
at::Tensor text_means(const diffusion::Pipeline& pipeline,
                      const std::vector<diffusion::Prompt>& prompts);

// Loads a value network for this pipeline, onto the device of its network. Throws BadInput naming
// `option` for one of another latent space or text encoder.
rewards::ValueNetwork open_value_network(const std::string& path,
                                         const std::string& option,
                                         const diffusion::Pipeline& pipeline);

}  // namespace tools
