#pragma once

// All ranks' trajectories of an epoch, with what became of them: what a value is learnt from.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/distributed/row_shard.hpp"
#include "finetune/policy/rollout.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

struct EpochStates {
  at::Tensor latents;                   // [P, T, C, H, W] fp16 on the CPU, before each step
  at::Tensor clean;                     // [P, C, H, W] fp32 on the CPU, unit variance: the ends
  std::vector<double> timesteps;        // T
  std::vector<int64_t> prompt_ids;      // P: rows of `prompts`
  std::vector<TrainingPrompt> prompts;  // N
  at::Tensor rewards{};                 // [P, M] fp64 raw, by the rewards that are trained
  at::Tensor combined{};                // [P] fp64, the rewards as one
};

// The states of all ranks' images, gathered a step at a time; each image gets those that it shares
// with others. `own`: the trajectories of `share`; prompt_ids: of all images. Rewards are left to
// the caller.
EpochStates epoch_states(const Trajectories& own,
                         const RowShard& share,
                         const SamplingPlan& chain,
                         const std::vector<TrainingPrompt>& prompts,
                         const std::vector<int64_t>& prompt_ids);

// Bytes of EpochStates::latents.  latent_shape: {C, H, W}
double state_bytes(const FinetuneConfig& config, const std::vector<int64_t>& latent_shape);

}  // namespace finetune
