#pragma once

// The guard in a training run: what it sees of an evaluation, the accepted model, and what follows
// from a verdict.

#include "finetune/guard/guard.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// Whether evaluations are judged, and whether a verdict brakes and stops the run.
bool is_guarded(const TrainingRun& run);
bool guard_acts(const TrainingRun& run);

// Throws BadInput where --guard on has nothing to go by: no evaluation, no held-out reward.
void check_guard(const TrainingTask& task, const TrainingConfig& config);

// What a run of so many rounds is judged by. Throws BadInput where the control run lacks an
// evaluation of this one.
void prepare_guard(TrainingRun& run, int64_t rounds);
// What it judges by.
void say_guard(const TrainingRun& run);

// The start of a run is accepted: its evaluation is what later ones are compared with.
void begin_guard(TrainingRun& run, const Evaluation& base, bool resumed);

// An epoch's training images, to the leading signal: combined [P], held_out [P, H] of
// guard_rewards_of. An evaluation follows after the round where it asks for one.
void show_epoch(TrainingRun& run,
                const at::Tensor& combined,
                const at::Tensor& held_out,
                const std::vector<int64_t>& prompt_ids);

// Half the learning rate, in a run that was braked.
void set_braked_rate(TrainingRun& run);

// The verdict on an evaluation; nothing where the run is not guarded.
std::optional<guard::Verdict> judged(TrainingRun& run, const Evaluation& now);
// Says and writes the verdict, keeps the model where it is accepted, brakes. True: stop.
bool follow(TrainingRun& run, const guard::Verdict& verdict);

// Whether the guard acts and the last verdict forbids the model as it ended: it stops the run, or
// brakes it at the last step.
bool is_rejected(const RunResult& result);
// Puts the parameters back to those that were accepted last, moments to zero. False where they are
// not kept.
bool restore_accepted(TrainingRun& run);

}  // namespace finetune
