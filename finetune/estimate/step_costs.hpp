#pragma once

// What a micro-batch of a run computes and holds, from a run on the meta device, whose tensors have
// shapes and no values: at any size, of milliseconds and no memory.

#include "finetune/policy/config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

struct StepCost {
  double flop = 0;   // of one image at one step of the chain
  double bytes = 0;  // of the tensors held at once, beside weights and moments
};
struct StepCosts {
  StepCost draw, update;  // under guidance; with the gradient
};
// At the run's latents, `images` at a time, in fp32: with --precision bf16 an upper bound of bytes.
// The policy alone draws; the reference costs the same.
StepCosts step_costs(const TrainingTask& task, const FinetuneConfig& config, int64_t images);

}  // namespace finetune
