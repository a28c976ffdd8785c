#pragma once

// Weights of auxiliary rewards that are learnt from a primary one, after BARFI (Gupta et al. 2023,
// "Behavior Alignment via Reward Function Optimization"). There the weights follow the implicit
// gradient of the primary return. Here they follow its first order: where a step tilts a prompt's
// images by exp(w z / beta), the primary's mean moves by Cov(primary, z) within prompts.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace rewards {

struct WeightLearning {
  int64_t primary = -1;  // its column, of weight 1; -1: nothing is learnt
  double rate = 0.1;     // eta
  double decay = 0.1;    // lambda
  double largest = 1;    // w_max
};

// 1 for the primary, 0 for the others. -> [M] fp64
at::Tensor starting_weights(const WeightLearning& learning, int64_t rewards);

// One epoch's step: w_m <- clip(w_m + eta rho_m - lambda w_m, 0, w_max) of every column but the
// primary, rho_m its correlation with the primary within prompts, pooled over them. Its fixed point
// is clip(eta rho_m / lambda, 0, w_max). Rows that the primary did not rate (NaN) are left out.
// weights: [M]; x: [P, M] raw; prompt_ids: P -> [M]
at::Tensor stepped_weights(const at::Tensor& weights,
                           const at::Tensor& x,
                           const std::vector<int64_t>& prompt_ids,
                           const WeightLearning& learning);

// Rows that the primary did not rate get the mean of their prompt's others, or of all where there
// are none: there the auxiliaries alone tell images apart. x: [P, M] -> [P, M]
at::Tensor with_primary_filled(const at::Tensor& x,
                               const std::vector<int64_t>& prompt_ids,
                               int64_t primary);

}  // namespace rewards
