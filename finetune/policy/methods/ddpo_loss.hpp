#pragma once

// The control: denoising diffusion policy optimisation with importance sampling, Black et al.,
// "Training diffusion models with reinforcement learning" (2023), with the rewards normalised
// inside each prompt, or over the epoch, as it does where a prompt has too few images.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/policy/methods/method.hpp"

namespace finetune {

// (r - mean) / (standard deviation + 1e-6) among the images of a prompt, clipped to +-limit. A
// prompt with fewer than two images, or whose rewards are all equal, and a reward that is not
// finite, get 0.  rewards: [P] -> [P] fp64
at::Tensor prompt_advantages(const at::Tensor& rewards,
                             const std::vector<int64_t>& prompt_ids,
                             double limit);

// The same among all images of the epoch.  rewards: [P] -> [P] fp64
at::Tensor epoch_advantages(const at::Tensor& rewards, double limit);

struct DdpoGradient {
  at::Tensor weights;        // like log_ratio: d loss / d log_ratio
  at::Tensor loss;           // [] sum over the entries
  at::Tensor clip_fraction;  // [] of the entries: the ratio left [1 - eps, 1 + eps]
};

// max(-A rho, -A clip(rho, 1 - eps, 1 + eps)) with rho = exp(log_ratio - log_ratio_old), and its
// gradient: zero where the clipped branch rules. Entries are summed; the caller divides by their
// number. fp64, on the device of log_ratio.
//   log_ratio, log_ratio_old: [B, T] nats, log pi_theta / pi of any fixed policy; advantages: [B]
DdpoGradient ddpo_gradient(const at::Tensor& log_ratio,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& advantages,
                           double clip_range);

struct DdpoConfig {
  double adv_clip_max = 5.0;         // > 0: largest advantage
  bool advantages_of_epoch = false;  // epoch_advantages in place of prompt_advantages
};
PolicyMethod ddpo_method(const DdpoConfig& config = {});

}  // namespace finetune
