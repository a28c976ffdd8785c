#pragma once

// Latent consistency distillation (Luo et al., "Latent consistency models", 2023, algorithm 1, in
// the form of the released checkpoints): a student that goes to the clean latent from anywhere on
// the guided teacher's path.
//
// w weighs guidance as in that paper, cond + w (cond - uncond): the guidance scale of Stable
// Diffusion tools, and of this program's options, is w + 1.

#include <ATen/core/Tensor.h>

#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/noise_schedule.hpp"

namespace finetune {

// The points of the teacher's DDIM solver, [0] the cleanest: from t it steps down to `previous`, k
// training timesteps below.
struct LcdSchedule {
  diffusion::Prediction prediction = diffusion::Prediction::kEpsilon;
  double timestep_scaling = 10;   // of the boundary condition
  diffusion::NoiseLevels levels;  // of all training timesteps: [num_train_timesteps] fp64
  at::Tensor t, previous;         // [N] int64; previous[0] is 0, where the student is the identity
};
// N = num_ddim_timesteps. Throws BadInput, naming the nearest N that do, when N does not divide the
// schedule.
LcdSchedule lcd_schedule(const diffusion::NoiseSchedule& schedule,
                         int64_t num_ddim_timesteps,
                         double timestep_scaling);

// The noise levels at t: [B] int64 -> [B, 1, 1, 1] fp64, on the device of t.
diffusion::NoiseLevels levels_at(const LcdSchedule& schedule, const at::Tensor& t);

// c_skip = s^2 / (u^2 + s^2), c_out = u / sqrt(u^2 + s^2) with u = timestep_scaling t, s = 0.5: the
// identity at t = 0, x0 alone nearly everywhere else. (Song et al., "Consistency models", 2023, eq.
// 5, without the s of their c_out, as every released LCM has it.) t: [B] int64
struct Boundary {
  at::Tensor skip, out;  // [B, 1, 1, 1] fp64
};
Boundary boundary_scalings(const at::Tensor& t, double timestep_scaling);

// f(x, t) = c_skip x + c_out x0 of a network's output. x, output: [B, C, h, w]; t: [B] int64
at::Tensor consistency_output(const LcdSchedule& schedule,
                              const at::Tensor& output,
                              const at::Tensor& x,
                              const at::Tensor& t);

// The student's f in one forward pass. A UNet with time_cond_proj_dim reads guidance_w; another has
// one guidance, that of its training, in its weights. conditions: B rows of text, time_ids and
// guidance_w; 1 negative. x: [B, C, h, w]; t: [B] int64
at::Tensor consistency(const diffusion::Network& student,
                       const LcdSchedule& schedule,
                       const at::Tensor& x,
                       const at::Tensor& t,
                       const diffusion::Conditioning& conditions);

// One guided DDIM step (eta 0) of the teacher from t[index] to previous[index]. x0 and epsilon are
// guided each for itself. output: [2 B, C, h, w], unconditional half first; x: [B, C, h, w]; index:
// [B] int64
at::Tensor solver_step(const LcdSchedule& schedule,
                       const at::Tensor& output,
                       const at::Tensor& x,
                       const at::Tensor& index,
                       const at::Tensor& w);
// The same, with both branches of the network in one batch.
at::Tensor teacher_step(const diffusion::Network& teacher,
                        const LcdSchedule& schedule,
                        const at::Tensor& x,
                        const at::Tensor& index,
                        const diffusion::Conditioning& conditions);

// Mean squared error, or sqrt(d^2 + c^2) - c (pseudo-Huber), mean over all elements.
enum class LcdLoss { kHuber, kL2 };
at::Tensor lcd_loss(const at::Tensor& predicted,
                    const at::Tensor& target,
                    LcdLoss loss,
                    double huber_c);

// One batch of training: what was drawn.
struct LcdBatch {
  at::Tensor latents;  // [B, C, h, w] clean, unit variance
  at::Tensor noise;    // [B, C, h, w] standard normal
  at::Tensor index;    // [B] int64, points of the solver
  diffusion::Conditioning conditions;
};
struct LcdPrediction {
  at::Tensor predicted;  // [B, C, h, w] f of the student at t; carries the gradient
  at::Tensor target;     // [B, C, h, w] f of the target network at `previous`, no gradient
};
// `target`: the moving average of the student, or the student itself.
LcdPrediction lcd_predict(const diffusion::Network& student,
                          const diffusion::Network& target,
                          const diffusion::Network& teacher,
                          const LcdSchedule& schedule,
                          const LcdBatch& batch);

}  // namespace finetune
