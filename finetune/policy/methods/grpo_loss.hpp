#pragma once

// Group relative policy optimisation: Shao, Wang, Zhu, Xu, Song, Zhang, Li, Wu, Guo, "DeepSeekMath"
// (2024), on the steps of a diffusion chain as Liu et al., "Flow-GRPO" (2025), have it: PPO's
// clipped ratio with rewards relative to the prompt's images, and the KL of each step from the
// starting model. Two things differ from Flow-GRPO's published code. The KL is the exact one of the
// step's Gaussians. The ratio is of whole steps, in nats, not of means over the latent's
// dimensions.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/policy/methods/method.hpp"

namespace finetune {

struct GrpoConfig {
  bool prompt_deviation = true;  // divide by the deviation of the prompt's rewards
  bool epoch_deviation = false;  // by that of all rewards of an epoch, each less its baseline
  bool leave_one_out = false;    // an image's baseline is the mean of the prompt's other images
  double kl_coefficient = 0;     // >= 0: advantage a nat of KL costs
};

// The rewards less their baseline, the mean of the prompt's images, divided by a standard deviation
// + 1e-6 where the configuration says so. A reward that is not finite, and the
// single image of a prompt, get 0 and are no part of a mean.  rewards: [P] -> [P] fp64
at::Tensor group_advantages(const at::Tensor& rewards,
                            const std::vector<int64_t>& prompt_ids,
                            const GrpoConfig& config);

// A bound on the KL gives it the coefficient 1 / sqrt(2 bound) where it has none; throws BadInput
// where advantages have no deviation of 1.
PolicyMethod grpo_method(const GrpoConfig& config = {});

}  // namespace finetune
