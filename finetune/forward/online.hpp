#pragma once

// The loop of the forward-process methods on own images: draw, rate, choose, denoise; evaluate,
// watch, save.

#include "finetune/forward/config.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// Writes as run_training. Throws BadInput as run_training and make_drawing, and when the reward
// does not vary within any prompt of the first epoch.
RunResult run_online(const TrainingTask& task,
                     const ForwardConfig& config,
                     const RunOptions& options,
                     const Reporter& reporter);

}  // namespace finetune
