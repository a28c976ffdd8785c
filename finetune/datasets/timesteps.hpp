#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

namespace finetune {

// Timesteps spread evenly over the schedule, one in each of B equal stretches: each is uniform, and
// the batch's loss varies less than with independent ones (Kingma et al. 2021, "Variational
// diffusion models", appendix I.1). -> [B] int64
at::Tensor spread_timesteps(int64_t count, int64_t num_train_timesteps, at::Generator& generator);

}  // namespace finetune
