#pragma once

// The reward's part in a distillation: how it changes with a latent.

#include "finetune/distill/config.hpp"
#include "finetune/run/training_task.hpp"

namespace finetune {

struct RewardGradient {
  at::Tensor gradient;   // [B, C, h, w] of -mean over the batch of R
  at::Tensor raw;        // [B, M] fp64, on the CPU
  double combined = 0;   // mean of R
  double saturated = 0;  // share of the image's values outside [0, 1]
};

// R = sum of weight times the reward within its caps. raw: [B, M] -> [B]
at::Tensor weighted_reward(const at::Tensor& raw,
                           const std::vector<rewards::WeightedReward>& trained,
                           const TrainingConfig& config);

// Decodes and rates `reward_chunk` latents at a time; no graph is left behind. A value of the image
// outside [0, 1] is seen as the nearer end; its gradient is kept where it leads back inside and
// dropped where it leads further out, so that a saturated value neither sticks nor runs away.
// latents: [B, C, h, w], unit variance.
RewardGradient reward_gradient(const TrainingTask& task,
                               const DistillConfig& config,
                               const at::Tensor& latents,
                               const std::vector<TrainingPrompt>& prompts,
                               at::Generator& generator);

// Throws BadInput when a trained reward says that it is not differentiable.
void check_differentiable(const TrainingTask& task);

}  // namespace finetune
