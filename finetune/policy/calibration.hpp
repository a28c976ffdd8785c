#pragma once

// What is settled at the start of a run: beta and the clip range in nats, and whether
// log-probabilities can be replayed.

#include "finetune/policy/rollout.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// beta and what to say of it, from the spread of the combined reward within prompts, in the
// starting model's first images. Throws BadInput when the spread is not above 0: the reward then
// does not differ between the images of any prompt.
MethodCalibration choose_calibration(const FinetuneConfig& config,
                                     const SamplingPlan& chain,
                                     double spread);

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
