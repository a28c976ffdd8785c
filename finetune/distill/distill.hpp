#pragma once

// Reward-guided latent consistency distillation (Li et al., "Reward guided latent consistency
// distillation", 2024): the teacher's guided sampling in a few steps of one forward pass each,
// drawn towards a reward. Without a reward: plain latent consistency distillation.

#include "finetune/datasets/latents.hpp"
#include "finetune/distill/config.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// A copy of the teacher that, with `time_cond_proj_dim` > 0, also reads w: through zeros at first,
// so that it begins as the teacher. Throws c10::Error when the teacher reads w itself.
diffusion::Network make_student(const diffusion::Network& teacher, int64_t time_cond_proj_dim);

// The student with the optimizer's moving average for weights (views of it: it follows the
// updates); the student itself where there is none.
diffusion::Network averaged_unet(const diffusion::Network& student, const Optimizer& optimizer);

// How the student is sampled by others: LCM's scheduler on the teacher's schedule.
diffusion::SchedulerConfig student_scheduler(const diffusion::SchedulerConfig& teacher,
                                             const DistillConfig& config);

// `data`: latents of captioned images; the reward rates the student's images of these captions.
// Without trained rewards in the task nothing is decoded. Throws BadInput as run_training, as
// lcd_schedule, and when a reward is not differentiable.
RunResult run_distill(const TrainingTask& task,
                      const EncodedImages& data,
                      const DistillConfig& config,
                      const RunOptions& options,
                      const Reporter& reporter);

}  // namespace finetune
