#pragma once

#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/run/training_task.hpp"

namespace bench {

// A training task of the model's own size, whose tensors are on `device`, as are its UNet and VAE.
// No rewards and no prompts. The pipeline must outlive it.
finetune::Task task_of(const diffusion::Pipeline& pipeline, at::Device device);

// {C, h, w} of an image of the model's own size.
std::vector<int64_t> native_latent_shape(const diffusion::Pipeline& pipeline);

}  // namespace bench
