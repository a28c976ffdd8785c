#pragma once

// The control of a distillation: the same run without a reward, whose evaluations stand in its
// folder. What the student loses against its teacher is no sign of a reward that is gamed.

#include "finetune/guard/guard.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// Throws BadInput where the folder config.guard_control lacks an evaluation that a run of `rounds`
// makes.
void check_control(const TrainingRun& run, int64_t rounds);

// The control's rewards after so many steps, at the run's prompts and seeds; NaN where it lacks a
// score. Throws BadInput where its evaluation is missing, damaged, of other prompts or seeds, or
// has no scores by a reward of the run: a comparison with nothing would find nothing.
guard::Reference control_at(const TrainingRun& run, int64_t step);

}  // namespace finetune
