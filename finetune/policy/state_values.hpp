#pragma once

// The value of every state of drawn trajectories.

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/sampling/noise_schedule.hpp"
#include "finetune/policy/rollout.hpp"
#include "finetune/policy/step_credit.hpp"

namespace finetune {

struct DrawnStates {
  const Denoiser& policy;                      // that drew them
  const Trajectories& trajectories;            // of images without common steps
  const std::vector<TrainingPrompt>& prompts;  // that their prompt ids number
  const SamplingPlan& chain;
  const diffusion::NoiseSchedule& schedule;
  int64_t batch = 32;  // trajectories at once
};

// Before every step. -> [P, T] fp64 on the CPU
at::Tensor state_values(const StateValue& value, const DrawnStates& drawn);

// The weighted sum of the task's trained rewards, in raw units. raw: [P, M] -> [P] fp64
at::Tensor weighted_rewards(const TrainingTask& task, const at::Tensor& raw);

// The weighted reward of the pictures of x0: [B, C, h, w] -> [B] fp64
at::Tensor picture_rewards(const TrainingTask& task,
                           const at::Tensor& x0,
                           const std::vector<TrainingPrompt>& prompts);
// The reward of the picture that the policy expects at each state. `task` must outlive it.
StateValue expected_picture_value(const TrainingTask& task);

}  // namespace finetune
