#pragma once

// Sampling methods. Each equals diffusers' scheduler of its name, step by step.
//
// All of them are linear in what they see: the state x, the network's output, the previous x0
// estimate and fresh noise. So a method is a table of coefficients and one loop runs them all; DDIM
// runs by diffusion/step.hpp, whose log-probability finetuning needs.

#include <functional>
#include <vector>

#include "diffusion/noise.hpp"
#include "diffusion/schedule.hpp"

namespace diffusion {

// The guided output of the network for x: [B, C, H, W] at `timestep` (fractional for Euler) ->
// alike.
using Denoiser = std::function<at::Tensor(const at::Tensor& x, double timestep)>;

struct SamplerOptions {
  Sampler sampler = Sampler::kDdim;
  int64_t steps = 20;    // 1..num_train_timesteps
  double eta = 0.0;      // 0..1, DDIM alone: 0 is deterministic, 1 the DDPM posterior
  double sigma_min = 0;  // DDIM: floor of a step's sigma, see ddim_steps
  // Called after each step with the number done.
  std::function<void(int64_t done)> on_step{};
};

// noise: [B, C, H, W] standard normal, the first draw of the generators (B of them, or none where
// the method draws nothing more). -> [B, C, H, W] latents x0, unit variance
at::Tensor sample(const Denoiser& denoiser,
                  const at::Tensor& noise,
                  const NoiseSchedule& schedule,
                  std::vector<at::Generator>& generators,
                  const SamplerOptions& options);

// One row of a method's table.
struct SamplerStep {
  double timestep = 0;     // what the network is told
  double input_scale = 1;  // the network sees input_scale * x
  // x0 = x0_from_x * x + x0_from_output * output
  double x0_from_x = 0, x0_from_output = 0;
  // next = from_x * x + from_x0 * x0 + from_previous_x0 * (x0 of the step before) + from_noise * z
  double from_x = 0, from_x0 = 0, from_previous_x0 = 0, from_noise = 0;
};
struct SamplerTable {
  double initial_scale = 1;  // the state starts at initial_scale * noise
  std::vector<SamplerStep> steps;
};

// The table of a method other than DDIM. Throws BadInput when the steps do not fit the schedule.
SamplerTable sampler_table(const NoiseSchedule& schedule, const SamplerOptions& options);

// Whether a run draws noise after the initial latents.
bool draws_noise(const SamplerOptions& options);

}  // namespace diffusion
