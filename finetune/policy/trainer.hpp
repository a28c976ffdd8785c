#pragma once

// The loop of every policy-gradient method: draw, rate, update; evaluate, watch, save (PRDP's
// algorithm 1).

#include "finetune/policy/config.hpp"
#include "finetune/run/training_run.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// Throws BadInput as open_run, load_checkpoint, make_sampling_plan and attach_lora do; when
// log-probabilities cannot be replayed within the clip range; and when the reward does not vary
// within any prompt of the first epoch.
RunResult run_finetune(const TrainingTask& task,
                       const FinetuneConfig& config,
                       const RunOptions& options,
                       const Reporter& reporter);

}  // namespace finetune
