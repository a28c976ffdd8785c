#pragma once

#include <vector>

#include "diffusion/lora/adapters.hpp"
#include "finetune/task/training_config.hpp"

namespace finetune {

// Makes the UNet trainable, by adapters or as a whole, and lists what is trained. Copies of the
// UNet taken before stay as they are: the reference.
train::Params trained_parameters(diffusion::Network& unet, const TrainingConfig& config);

// The network with other values of its trained parameters, which it shares with `values`; the
// rest it shares with `unet`. values: one for each of `params`
diffusion::Network with_values(const diffusion::Network& unet,
                               const train::Params& params,
                               const std::vector<at::Tensor>& values);

}  // namespace finetune
