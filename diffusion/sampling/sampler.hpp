#pragma once

// Sampling methods. Each equals diffusers' scheduler of its name, step by step.
//
// All of them are linear in what they see: the state x, the network's outputs and fresh noise. So a
// method is a table with a row of coefficients for each call of the network, and one loop runs them
// all; DDIM runs by diffusion/sampling/gaussian_step.hpp, whose log-probability finetuning needs.

#include <functional>
#include <vector>

#include "diffusion/sampling/noise_schedule.hpp"
#include "diffusion/sampling/random_noise.hpp"

namespace diffusion {

// The guided output of the network for x: [B, C, H, W] at `timestep` (fractional for some methods)
// -> alike.
using Denoiser = std::function<at::Tensor(const at::Tensor& x, double timestep)>;

struct SamplerOptions {
  Sampler sampler = Sampler::kDdim;
  int64_t steps = 20;    // 1..num_train_timesteps, of LCM and TCD 1..original_inference_steps
  double eta = 0.0;      // 0..1, DDIM: 1 is the DDPM posterior; TCD: its gamma; 0 is deterministic
  double sigma_min = 0;  // DDIM: floor of a step's sigma, see ddim_steps
  // Called after each call of the network with the number done.
  std::function<void(int64_t done)> on_step{};
};

// noise: [B, C, H, W] standard normal, the first draw of the generators (B of them, or none where
// the method draws nothing more). -> [B, C, H, W] latents x0, unit variance
// Throws BadInput when the options do not fit the schedule.
at::Tensor sample(const Denoiser& denoiser,
                  const at::Tensor& noise,
                  const NoiseSchedule& schedule,
                  std::vector<at::Generator>& generators,
                  const SamplerOptions& options);

// The same from a noised image instead of noise, in the last part of the steps (Meng et al. 2021,
// "SDEdit"; diffusers' img2img). latents: [B, C, H, W] of the image, unit variance; strength: (0,
// 1], of the steps that are run, at least one.
struct Start {
  at::Tensor latents;
  double strength = 1;
};
at::Tensor sample_from(const Start& start,
                       const Denoiser& denoiser,
                       const at::Tensor& noise,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options);

// abar at a timestep between two of the schedule's: linear in sigma, as diffusers' Euler.
double alpha_bar_between(const NoiseSchedule& schedule, double timestep);

// How often `sample` calls the network: `steps`, or more (PNDM: one more; Heun and DPM++ SDE: twice
// as often but one). Throws as it does.
int64_t network_calls(const NoiseSchedule& schedule, const SamplerOptions& options);

// Whether a run draws noise after the initial latents.
bool draws_noise(const SamplerOptions& options);

// What a method makes of a call's output: x0, epsilon, or the output itself.
struct Estimate {
  double from_x = 0, from_output = 1;
};

// One call of the network on x, and the x that follows. e[0] is this call's estimate, e[1] that of
// the call before, ...
struct SamplerCall {
  double timestep = 0;     // what the network is told
  double input_scale = 1;  // the network sees input_scale * x
  Estimate estimate{};
  // The state that the step departs from: x; where a step takes several calls, the departure of the
  // call before; UniPC corrects it by the new estimate.
  // start = start_from_x * x + start_from_start * (start before) + sum start_from_estimates e
  double start_from_x = 1, start_from_start = 0;
  std::vector<double> start_from_estimates{};
  // next x = from_start * start + sum from_estimates e + from_noise * z + from_previous_noise * (z
  // of the call before)
  double from_start = 0;
  std::vector<double> from_estimates{};
  double from_noise = 0, from_previous_noise = 0;
};
struct SamplerTable {
  double initial_scale = 1;  // x starts at initial_scale * noise
  std::vector<SamplerCall> calls{};
};

// The table of a method other than DDIM. Throws BadInput as `sample` does.
SamplerTable sampler_table(const NoiseSchedule& schedule, const SamplerOptions& options);

}  // namespace diffusion
