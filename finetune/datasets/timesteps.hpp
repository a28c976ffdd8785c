#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "diffusion/sampling/noise_schedule.hpp"

namespace finetune {

// Timesteps spread evenly over the schedule, one in each of B equal stretches: each is uniform, and
// the batch's loss varies less than with independent ones (Kingma et al. 2021, "Variational
// diffusion models", appendix I.1). -> [B] int64
at::Tensor spread_timesteps(int64_t count, int64_t num_train_timesteps, at::Generator& generator);

// How much larger an error of x0 is than that of the network's output that leads to it: for a
// prediction of epsilon noise / signal, of v noise. -> [num_train_timesteps] fp64
at::Tensor x0_error_scales(const diffusion::NoiseSchedule& schedule);

// Weights of the squared error of the network's output: min(SNR, gamma) of the squared error of x0,
// SNR = abar / (1 - abar), which bounds what a step may cost (Hang et al. 2023, "Min-SNR", eq. 8).
// For a prediction of epsilon min(SNR, gamma) / SNR, of v min(SNR, gamma) / (SNR + 1). gamma 0:
// ones. t: [B] int64 -> [B]
at::Tensor min_snr_weights(const diffusion::NoiseSchedule& schedule,
                           const at::Tensor& t,
                           double gamma);

}  // namespace finetune
