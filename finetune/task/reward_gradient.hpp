#pragma once

// How the reward changes with a latent, for methods that follow a differentiable reward.

#include "finetune/task/training_config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// What the reward is computed on: the whole decoded image, a random window of half its side, or the
// image of half the size.
enum class RewardView { kWhole, kCrop, kHalf };

// A training that follows a reward's gradient.
struct RewardGradientConfig : TrainingConfig {
  int64_t reward_chunk = 16;  // latents decoded and rated at once: memory, not mathematics
  RewardView reward_view = RewardView::kWhole;
  bool two_pass = false;  // the reward's graph before the VAE's: one more decode, less memory
};

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
                               const RewardGradientConfig& config,
                               const at::Tensor& latents,
                               const std::vector<TrainingPrompt>& prompts,
                               at::Generator& generator);

// Throws BadInput when a trained reward says that it is not differentiable. `advice`: "add
// --latent_reward, which learns it on latents".
void check_differentiable(const TrainingTask& task, const std::string& advice);

}  // namespace finetune
