#pragma once

// One step of the reverse chain and its log-probability: the Gaussian of Song et al. 2021 ("DDIM"),
// eq. 12 and 16; at eta = 1 its mean and variance are the DDPM posterior's (Ho et al. 2020, eq. 7).

#include "diffusion/sampling/noise_schedule.hpp"

namespace diffusion {

// mean = there.signal x0 + from_epsilon epsilon, next ~ N(mean, sigma^2).
struct StepCoefficients {
  double timestep = 0;  // t, what the network is told
  double previous = 0;  // t' < t, or -1 where nothing is left of the noise (set_alpha_to_one)
  NoiseLevel here{}, there{};  // of x and of next
  double sigma = 0;            // standard deviation of the step
  double from_epsilon = 0;     // sqrt(there.noise^2 - sigma^2), or 0 where the floor exceeds it
  // d mean / d epsilon, or d mean / d v of a flow; negative. A change e of epsilon (of v) costs
  // kappa^2 e^2 / (2 sigma^2) nats.
  double kappa = 0;
};

// The step between two levels of any path, there.noise < here.noise, with timestep and previous 0.
// kappa is d mean / d output of a network that predicts `prediction`. eta in [0, 1]: sigma is eta
// times the standard deviation of q(next | x, x0); sigma_min: a floor of sigma.
StepCoefficients step_between(const NoiseLevel& here,
                              const NoiseLevel& there,
                              Prediction prediction,
                              double eta,
                              double sigma_min);

// The steps of a chain, [0] the noisiest, with the timesteps of diffusers' DDIM. A t' below 0 has
// the level of timestep 0, or no noise with set_alpha_to_one. On flow matching's levels, with the
// timesteps of FlowMatchEulerDiscreteScheduler, whose step it is at eta 0.
// eta in [0, 1]; sigma_min: a floor of sigma, of sampling and scoring alike, 0: none.
std::vector<StepCoefficients> ddim_steps(const NoiseSchedule& schedule,
                                         int64_t num_inference_steps,
                                         double eta,
                                         double sigma_min);

struct GaussianStep {
  at::Tensor mean;      // [B, C, H, W]
  at::Tensor next;      // [B, C, H, W]
  at::Tensor log_prob;  // [B] fp64, nats, the sum over C H W; undefined where sigma is 0
};

// next = mean + sigma noise. noise may be undefined where sigma is 0.
// model_output (guided), x and noise: [B, C, H, W], of one dtype and device.
GaussianStep ddim_sample(const StepCoefficients& coefficients,
                         Prediction prediction,
                         const at::Tensor& model_output,
                         const at::Tensor& x,
                         const at::Tensor& noise);

// The same step with a given `next`: how probable it was. Gradients flow to model_output.
GaussianStep ddim_log_prob(const StepCoefficients& coefficients,
                           Prediction prediction,
                           const at::Tensor& model_output,
                           const at::Tensor& x,
                           const at::Tensor& next);

// log N(next; mean_a, sigma) - log N(next; mean_b, sigma), in nats, without subtracting two large
// numbers: <mean_a - mean_b, 2 next - mean_a - mean_b> / (2 sigma^2), summed in fp64.
// mean_a, mean_b, next: [B, C, H, W] -> [B] fp64. sigma > 0.
at::Tensor log_ratio(const at::Tensor& mean_a,
                     const at::Tensor& mean_b,
                     const at::Tensor& next,
                     double sigma);

// KL(N(mean_a, sigma) || N(mean_b, sigma)) in nats, the expectation of log_ratio under mean_a.
// -> [B] fp64
at::Tensor step_kl(const at::Tensor& mean_a, const at::Tensor& mean_b, double sigma);

}  // namespace diffusion
