#pragma once

// Proximal reward difference prediction: Deng, Wang, Wei, Hou, Grundmann, "PRDP: Proximal Reward
// Difference Prediction for Large-Scale Reward Finetuning of Diffusion Models" (CVPR 2024).
// Everything is in nats: the log-ratio u of a step is summed over the latent's dimensions, that of
// a trajectory over its steps.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/policy/methods/method.hpp"

namespace finetune {

struct PrdpOptions {
  double beta = 1.0;        // > 0: reward a nat of KL costs
  double clip_range = 0.2;  // > 0: nats a step may move away from its snapshot, "eps" of eq. 9
};

struct PrdpStatistics {
  double loss = 0;           // eq. 10, averaged over pairs, then over prompts
  int64_t pairs = 0;         // with different rewards: ties say nothing
  int64_t prompts = 0;       // that have a pair
  int64_t degenerate = 0;    // prompts without one: all rewards equal, or fewer than two images
  int64_t dropped = 0;       // trajectories whose reward is not finite
  double clip_fraction = 0;  // of the steps: |u - u_old| > clip_range
  double clipped_pairs = 0;  // of the pairs: the clipped branch is the larger
  double explained_variance = 0;  // of the reward differences by beta times the predicted ones
};

// weights[i, t] = d loss / d u[i, t]: the surrogate sum(weights * u) has the gradient of the loss.
struct PrdpGradient {
  at::Tensor weights;  // [P, T] fp64 on the CPU
  PrdpStatistics statistics;
};

// Eq. 5, 9 and 10 with every pair inside a prompt, and their gradient. Where both branches are
// equal each gets half.
//   log_ratio, log_ratio_old: [P, T] log pi_theta / pi_ref of each step, now and at the snapshot
//   rewards: [P], one not finite drops its trajectory; prompt_ids: P of them, equal for
//   trajectories of one prompt step_mask: [T] of 0 and 1, or undefined for all ones; a masked step
//   leaves the objective altogether
PrdpGradient prdp_gradient(const at::Tensor& log_ratio,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const PrdpOptions& options,
                           const at::Tensor& step_mask = {});

// The paper's published code averages over steps and (so its values suggest) over dimensions:
// ((1 / TD) dU - dr / beta)^2 has the minimum of (dU - TD dr / beta)^2.
double beta_from_mean_units(double beta, int64_t steps, int64_t dimensions);    // beta / (T D)
double clip_range_from_mean_units(double clip_range, int64_t dimensions);       // D eps
double beta_to_mean_units(double beta_nat, int64_t steps, int64_t dimensions);  // beta T D
double clip_range_to_mean_units(double clip_range_nat, int64_t dimensions);     // eps / D

struct PrdpConfig {
  bool mean_units = false;  // beta and clip_range are given in the paper's units
};
PolicyMethod prdp_method(const PrdpConfig& config = {});

}  // namespace finetune
