#pragma once

#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/run/training_task.hpp"

namespace bench {

// A training task at the model's native size, without rewards and prompts. Its tensors, UNet and
// VAE are on `device`. The pipeline must outlive it.
finetune::Task task_of(const diffusion::Pipeline& pipeline, at::Device device);

// {C, h, w} of the latents at the model's native size.
std::vector<int64_t> native_latent_shape(const diffusion::Pipeline& pipeline);

}  // namespace bench
