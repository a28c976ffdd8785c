#pragma once

#include "diffusion/lora/adapters.hpp"
#include "finetune/run/training_config.hpp"

namespace finetune {

// Makes the UNet trainable, by adapters or as a whole, and lists what is trained. Copies of the
// UNet taken before stay as they are: the reference.
train::Params trained_parameters(diffusion::Network& unet, const TrainingConfig& config);

}  // namespace finetune
