#pragma once

// The gradient of a loss that couples all steps of many trajectories, with the memory of one step.
// The loss depends on the network only through each step's log-ratio u[i, t], its KL from the
// reference's Gaussian, k[i, t], and where the trajectories have targets, its output's squared
// distance from them, e[i, t]. Pass 1 computes u without a gradient, the loss gives w = d loss / d
// u, v = d loss / d k and s = d loss / d e, and pass 2 accumulates the gradient of sum w u + v k +
// s e, one micro-batch of one step at a time.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "finetune/policy/rollout.hpp"

namespace finetune {

// Pass 1: log pi / pi_ref of every step of the trajectories `rows`, in nats, without a gradient.
// Whole trees, here and below: a transition that images share is passed once. -> [R, T] fp64
at::Tensor log_ratios(const Denoiser& policy,
                      const Trajectories& trajectories,
                      const std::vector<int64_t>& rows,
                      const SamplingPlan& chain,
                      int64_t batch);

// What weighs the transitions of a micro-batch at step t, [b], given their terms now, [b] fp64
// without a gradient. The j-th is that of the branch of rows[(first + j) size], with branches of
// `size` images; of rows[first + j] where each image has its own.
using WeighSteps = std::function<StepWeights(int64_t first, int64_t step, const StepTerms& now)>;

// Pass 2: adds d (sum w u + v k + s e) / d parameters to the parameters' gradients. Only the steps
// listed are visited; those that the chain masks have e alone. Without `with_kl` the terms have no
// k.
void accumulate_gradient(const Denoiser& policy,
                         const Trajectories& trajectories,
                         const std::vector<int64_t>& rows,
                         const std::vector<int64_t>& steps,
                         const SamplingPlan& chain,
                         int64_t batch,
                         bool with_kl,
                         const WeighSteps& weigh);

// The largest |u recomputed as training does - u stored by the rollout| over the active steps of
// the first `count` trajectories, in nats: what rounding, another batch size or a wrong replay do
// to the log-probabilities.
double replay_drift(const Denoiser& policy,
                    const Trajectories& trajectories,
                    int64_t count,
                    const SamplingPlan& chain,
                    int64_t batch);

}  // namespace finetune
