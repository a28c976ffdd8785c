#pragma once

// Diversity-rewarded distillation of guidance: Cideron et al., "Diversity-Rewarded CFG
// Distillation" (2024). The student draws without guidance
// and imitates, at what it draws, the guided output of the model that it started from; a policy
// gradient raises the reward, which is how far the images of a prompt lie from each other. The
// paper is about music, whose tokens have a KL. Here the imitation is the squared distance of the
// network's outputs, at all noise levels alike, and the policy gradient is GRPO's.

#include "finetune/policy/methods/method.hpp"

namespace finetune {

struct DistillCfgConfig {
  double guidance_scale = 5.0;   // > 0: of the outputs that are imitated
  double diversity_scale = 0.1;  // >= 0: of the policy gradient; 0: imitation alone
};

// loss = mean over images and steps of |output - guided output|^2 + diversity_scale times GRPO's
// clipped ratio, whose advantage is the reward less the mean of the prompt's images, in deviations
// of all of an epoch.
PolicyMethod distill_cfg_method(const DistillCfgConfig& config = {});

}  // namespace finetune
