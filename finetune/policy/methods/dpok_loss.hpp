#pragma once

// Fan, Watkins, Du, Liu, Ryu, Boutilier, Abbeel, Ghavamzadeh, Lee, Lee, "DPOK: Reinforcement
// learning for fine-tuning text-to-image diffusion models" (2023): a policy gradient with the KL of
// every step from the starting model. Three things differ from the published code. The reward's
// baseline is the mean of the prompt's images, not a learned value function. The ratio is of whole
// steps, in nats, not of means over the latent's dimensions. The KL is that of the steps'
// Gaussians, not the squared difference of the noise predictions, which is the same up to each
// step's factor.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/policy/methods/method.hpp"

namespace finetune {

// Each reward less the mean of its prompt's images. A reward that is not finite gets 0, and is no
// part of the mean.  rewards: [P] -> [P] fp64
at::Tensor rewards_less_prompt_mean(const at::Tensor& rewards,
                                    const std::vector<int64_t>& prompt_ids);

struct DpokGradient {
  StepWeights weights;       // like the terms: d loss / d term
  at::Tensor loss, kl_loss;  // [] sums over the entries; kl_loss: beta kl, a part of the loss
  at::Tensor clip_fraction;  // [] of the entries: the ratio left [1 - eps, 1 + eps]
};

// -A clip(rho, 1 - eps, 1 + eps) + beta kl, with rho = exp(log_ratio - log_ratio_old), and its
// gradient. As in the published code the clipped ratio stands alone, without PPO's minimum: outside
// the band the reward has no gradient, and the KL alone leads back. Entries are summed; the caller
// divides by their number. fp64, on the device of the terms.
//   now: [B, T] nats, both terms; log_ratio_old: [B, T]; advantages: [B]; beta > 0: reward a nat
//   costs
DpokGradient dpok_gradient(const StepTerms& now,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& advantages,
                           double beta,
                           double clip_range);

struct DpokConfig {
  bool baseline = true;  // the advantage is the reward less its prompt's mean; false: the reward
};
PolicyMethod dpok_method(const DpokConfig& config = {});

}  // namespace finetune
