#pragma once

#include "finetune/task/reward_gradient.hpp"

namespace finetune {

// What a training by the reward's gradient through the chain is told.
struct DraftConfig : RewardGradientConfig {
  int64_t max_train_steps = 200;
  int64_t train_batch_size = 8;  // images of an optimiser step

  int64_t sample_num_steps = 10;
  double sample_eta = 1.0;             // 0: deterministic steps
  double sample_guidance_scale = 5.0;  // 1: no guidance; sampling and training use the same

  int64_t last_steps = 1;          // K: steps of the chain with a gradient; 0: all
  bool random_truncation = false;  // K is drawn from 1 to last_steps, once a batch (AlignProp)
  // The chain ends at a step drawn from the last K; the x0 that it predicts is rated (ReFL).
  bool early_x0 = false;
  // n > 0: after sampling, noise of the last step's level is added n times, and the mean of n
  // one-step gradients is followed (DRaFT-LV).
  int64_t variance_draws = 0;
  // >= 0: reward a nat of KL from the start costs, of the steps that have a gradient and noise.
  double kl_coefficient = 0;
};

}  // namespace finetune
