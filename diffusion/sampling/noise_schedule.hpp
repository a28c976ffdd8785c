#pragma once

// The noise schedule of training and the timesteps of sampling, as diffusers computes them. With
// config.flow, the levels are those of flow matching, and a timestep is num_train_timesteps times
// t.

#include <ATen/core/Tensor.h>

#include "diffusion/sampling/noise_level.hpp"
#include "diffusion/sampling/scheduler_config.hpp"

namespace diffusion {

struct NoiseSchedule {
  SchedulerConfig config;
  // [num_train_timesteps], abar_t of Ho et al. 2020. diffusers multiplies in fp32, and so does
  // make_schedule; the products are then widened, and the coefficients of a step are fp64. Empty
  // for flow matching.
  std::vector<double> alphas_cumprod;
  int64_t image_tokens = 0;  // of make_schedule
};

// image_tokens: the patches of an image, which a dynamic shift of flow matching follows; 0: not
// told. Throws BadInput when a zero terminal SNR is asked for with an epsilon prediction, and when
// the prediction does not fit the levels.
NoiseSchedule make_schedule(const SchedulerConfig& config, int64_t image_tokens = 0);

// The level of a training timestep in [0, num_train_timesteps).
NoiseLevel level_at(const NoiseSchedule& schedule, int64_t timestep);

// The level at a timestep between two of the schedule's: linear in sigma, as in diffusers' Euler;
// of flow matching linear in t.
NoiseLevel level_between(const NoiseSchedule& schedule, double timestep);

// The levels of a batch. t: [B] int64 in [0, num_train_timesteps) -> [B, 1, 1, 1], computed in the
// dtype of `like` and on its device. Throws when t has not as many rows as `like`.
NoiseLevels levels_at(const NoiseSchedule& schedule, const at::Tensor& t, const at::Tensor& like);

// The levels of all training timesteps: [num_train_timesteps] fp64.
NoiseLevels training_levels(const NoiseSchedule& schedule);

// (signal / noise)^2 of all training timesteps: [num_train_timesteps] fp64.
at::Tensor signal_to_noise_ratios(const NoiseSchedule& schedule);

// The timesteps of diffusers' DDIM and DDPM, from the noisiest. Throws BadInput when `steps` does
// not fit the schedule. kClassDefault is leading.
std::vector<int64_t> inference_timesteps(const SchedulerConfig& config, int64_t steps);

// x0 with noise of the levels at t, and what the network should say of it.
// x0 and noise: [B, C, H, W], t: [B] int64 in [0, num_train_timesteps) -> [B, C, H, W]
at::Tensor add_noise(const NoiseSchedule& schedule,
                     const at::Tensor& x0,
                     const at::Tensor& noise,
                     const at::Tensor& t);
at::Tensor training_target(const NoiseSchedule& schedule,
                           const at::Tensor& x0,
                           const at::Tensor& noise,
                           const at::Tensor& t);

}  // namespace diffusion
