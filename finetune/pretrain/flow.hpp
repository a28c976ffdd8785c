#pragma once

// What a flow transformer of Stable Diffusion 3's layout is trained to say, from random weights:
// the velocity of rectified flow (Liu et al. 2023; Esser et al. 2024, section 2), epsilon - x0 at
// x = (1 - t) x0 + t epsilon.

#include <memory>

#include "diffusion/sampling/noise_schedule.hpp"
#include "finetune/pretrain/text_to_image.hpp"

namespace finetune {

// Logit-normal times (Esser et al. 2024, eq. 19), one in each of `count` equal stretches of their
// distribution: t = sigmoid(mean + std z), z standard normal. -> [count] fp32 in [0, 1], ascending
at::Tensor logit_normal_times(int64_t count, double mean, double std, at::Generator& generator);

// A trained network with a noise schedule, whose velocities are targets without the sampling noise
// of epsilon - x0.
struct VelocityTeacher {
  diffusion::Network network;
  diffusion::NoiseSchedule schedule;  // of variance-preserving levels
  at::Tensor hidden;                  // [M, L, D] fp16 of the training set's captions
  double guidance_scale = 1;          // above 1: the target is the guided velocity
};
// x at time t scaled by 1 / sqrt((1 - t)^2 + t^2) has unit variance and the noise-to-signal ratio
// t / (1 - t), at which the teacher is asked; its x0 and epsilon give epsilon - x0. x: [B, C, h,
// w], t: [B] with t / (1 - t) at most the schedule's last ratio, caption: [B] -> [B, C, h, w]
at::Tensor teacher_velocity(const VelocityTeacher& teacher,
                            const at::Tensor& x,
                            const at::Tensor& t,
                            const at::Tensor& caption);

// Mean squared error of the velocity. teacher: of the target where its schedule reaches t; nullptr:
// nowhere. batch.t: [B] fp32 in [0, 1] -> []
at::Tensor flow_loss(const diffusion::Network& network,
                     const PretrainBatch& batch,
                     int64_t num_train_timesteps,
                     const VelocityTeacher* teacher);

// Random weights; every block is the identity at first and the output 0 (Peebles and Xie 2023,
// adaLN-Zero).
diffusion::MMDiT make_flow_network(const diffusion::MMDiTConfig& config, at::Generator& generator);

struct FlowObjectiveOptions {
  diffusion::MMDiTConfig model;
  double logit_mean = 0, logit_std = 1;
  std::shared_ptr<const VelocityTeacher> teacher;  // none: velocities of the data alone
  double teacher_share = 1;  // the part of the training, from its start, that has the teacher
};
PretrainObjective flow_objective(const FlowObjectiveOptions& options,
                                 const diffusion::SchedulerConfig& scheduler);

}  // namespace finetune
