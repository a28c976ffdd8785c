#pragma once

// What TensorBoard shows of a run beside its scalars. Rank 0 alone calls these.

#include "finetune/run/training_run.hpp"

namespace finetune {

// The configuration and the evaluated prompts as texts, and the configuration as hyperparameters,
// by which runs are compared in `evaluated`, the figures of an evaluation.
void begin_events(const TrainingRun& run, const MetricValues& evaluated);

// The first images of an evaluation, at the optimizer's step.
void add_event_images(const TrainingRun& run, const Evaluation& evaluation);

void end_events(const TrainingRun& run);

}  // namespace finetune
