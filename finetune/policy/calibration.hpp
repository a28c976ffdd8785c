#pragma once

// What is settled at the start of a run: beta and the clip range in nats, the rewards' scales, and
// whether log-probabilities can be replayed.

#include <vector>

#include "finetune/policy/rollout.hpp"
#include "finetune/run/training_task.hpp"
#include "rewards/combine/epoch_combiner.hpp"

namespace finetune {

struct Calibration {
  double beta = 0;     // per nat
  at::Tensor spreads;  // [M] fp64, of each reward within prompts
};
// From the rewards [P, M] of the starting model's first images. Says what it chose, in nats and in
// the paper's units. Throws BadInput when the combined reward does not differ between the images of
// any prompt.
Calibration choose_calibration(const at::Tensor& rewards,
                               const std::vector<int64_t>& prompt_ids,
                               const rewards::CombineOptions& combine,
                               const FinetuneConfig& config,
                               const SamplingPlan& chain,
                               const Reporter& reporter);

double clip_range_in_nats(const FinetuneConfig& config, const SamplingPlan& chain);

// Stored against recomputed log-probabilities, as training will recompute them: one micro-batch, at
// its size and precision. Throws BadInput when they differ by more than the clip range; warns above
// a tenth of it.
void self_test(const Denoiser& policy,
               const Trajectories& trajectories,
               const FinetuneConfig& config,
               const SamplingPlan& chain,
               const Reporter& reporter);

}  // namespace finetune
