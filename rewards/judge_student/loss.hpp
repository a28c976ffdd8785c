#pragma once

// The terms of the student's loss, each a mean over rows, known axes and members. `weight`: [M, N].

#include <ATen/core/Tensor.h>

namespace rewards {

// KL(bins || q) plus 0.1 times Huber's loss of the mean.
at::Tensor point_loss(const at::Tensor& logits,  // [M, N, K, 5]
                      const at::Tensor& bins,    // [N, K, 5]
                      const at::Tensor& known,   // [N, K]
                      const at::Tensor& weight);
// Binary cross entropy of sigmoid(gain (mean_a - mean_b)); means [M, Q, K].
at::Tensor pair_loss(const at::Tensor& mean_a,
                     const at::Tensor& mean_b,
                     const at::Tensor& gain,
                     const at::Tensor& preference,
                     const at::Tensor& known,
                     const at::Tensor& weight);
// 1 - sqrt(p p') - sqrt((1 - p)(1 - p')): fidelity loss of two preferences (DeQA-Score).
// Elementwise.
at::Tensor fidelity_loss(const at::Tensor& p, const at::Tensor& other);
// values: [M, N, K]; known: [N, K]. 0 where nothing is known.
at::Tensor weighted_mean(const at::Tensor& values,
                         const at::Tensor& known,
                         const at::Tensor& weight);

}  // namespace rewards
