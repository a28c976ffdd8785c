#pragma once

#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/task/training_task.hpp"

namespace bench {

// A training task at the model's native size, without rewards and prompts, on the model's device.
// It shares the pipeline's tensors.
finetune::TrainingTask task_of(const diffusion::Pipeline& pipeline);

// {C, h, w} of the latents at the model's native size.
std::vector<int64_t> native_latent_shape(const diffusion::Pipeline& pipeline);

}  // namespace bench
