#pragma once

// The noise schedule of training and the timesteps of sampling, as diffusers computes them.

#include <ATen/core/Tensor.h>

#include "diffusion/sampling/scheduler_config.hpp"

namespace diffusion {

struct NoiseSchedule {
  SchedulerConfig config;
  // [num_train_timesteps], abar_t of Ho et al. 2020. diffusers multiplies in fp32; so is this, then
  // widened, and the coefficients of a step are computed from it in fp64.
  std::vector<double> alphas_cumprod;
};

// Throws BadInput when a zero terminal SNR is asked for with an epsilon prediction.
NoiseSchedule make_schedule(const SchedulerConfig& config);

// The timesteps of diffusers' DDIM and DDPM, from the noisiest. Throws BadInput when `steps` does
// not fit the schedule. kClassDefault is leading.
std::vector<int64_t> inference_timesteps(const SchedulerConfig& config, int64_t steps);

// x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise: Ho et al. 2020, eq. 4.
// x0 and noise: [B, C, H, W], t: [B] int64 in [0, num_train_timesteps) -> [B, C, H, W]
at::Tensor add_noise(const NoiseSchedule& schedule,
                     const at::Tensor& x0,
                     const at::Tensor& noise,
                     const at::Tensor& t);
// At levels of one's own. alpha_bar: [B, 1, 1, 1] or [1, 1, 1, 1]
at::Tensor add_noise(const at::Tensor& alpha_bar, const at::Tensor& x0, const at::Tensor& noise);

// What the network should have said: the noise, the velocity sqrt(abar) noise - sqrt(1 - abar) x0
// (Salimans and Ho 2022, appendix D), or x0. Shapes as above.
at::Tensor training_target(const NoiseSchedule& schedule,
                           const at::Tensor& x0,
                           const at::Tensor& noise,
                           const at::Tensor& t);

// The network's output as both of its meanings.
struct Predicted {
  at::Tensor x0, epsilon;  // [B, C, H, W]
};
Predicted predict(Prediction prediction,
                  double alpha_bar,
                  const at::Tensor& model_output,
                  const at::Tensor& x);
// Each latent at its own noise level. alpha_bar: [B, 1, 1, 1] fp64
Predicted predict(Prediction prediction,
                  const at::Tensor& alpha_bar,
                  const at::Tensor& model_output,
                  const at::Tensor& x);

}  // namespace diffusion
