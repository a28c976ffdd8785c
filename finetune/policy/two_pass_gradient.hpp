#pragma once

// The gradient of a loss that couples all steps of many trajectories, with the memory of one step.
// The loss depends on the network only through the log-ratios u[i, t]. Pass 1 computes them without
// a gradient, the loss gives w = d loss / d u, and pass 2 accumulates the gradient of sum w u, one
// micro-batch of one step at a time.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "finetune/policy/rollout.hpp"

namespace finetune {

// Pass 1: log pi / pi_ref of every step of the trajectories `rows`, in nats, without a gradient. ->
// [R, T] fp64
at::Tensor log_ratios(const Denoiser& policy,
                      const Trajectories& trajectories,
                      const std::vector<int64_t>& rows,
                      const SamplingPlan& chain,
                      int64_t batch);

// What weighs the steps of a micro-batch: [b] of rows[start .. start + b) at step t, given their
// log-ratios now.
using StepWeights =
    std::function<at::Tensor(int64_t start, int64_t step, const at::Tensor& log_ratio)>;

// Pass 2: adds d (sum w u) / d parameters to the parameters' gradients. Only the steps listed are
// visited.
void accumulate_gradient(const Denoiser& policy,
                         const Trajectories& trajectories,
                         const std::vector<int64_t>& rows,
                         const std::vector<int64_t>& steps,
                         const SamplingPlan& chain,
                         int64_t batch,
                         const StepWeights& weights);

// The largest |u recomputed as training does - u stored by the rollout| over the active steps of
// the first `count` trajectories, in nats: what rounding, another batch size or a wrong replay do
// to the log-probabilities.
double replay_drift(const Denoiser& policy,
                    const Trajectories& trajectories,
                    int64_t count,
                    const SamplingPlan& chain,
                    int64_t batch);

}  // namespace finetune
