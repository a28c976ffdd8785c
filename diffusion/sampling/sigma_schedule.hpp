#pragma once

// Noise levels sigma = sqrt((1 - abar) / abar) (Karras et al. 2022) along a chain.

#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

struct SigmaLevels {
  std::vector<double> timesteps;  // [steps]
  std::vector<double> sigmas;     // [steps + 1], falling; the last is where the chain ends
};

// As the diffusers class of options.sampler has them. Throws BadInput when steps do not fit.
SigmaLevels sigma_levels(const NoiseSchedule& schedule, const SamplerOptions& options);

// [num_train_timesteps] sigma of every training timestep, rising.
std::vector<double> training_sigmas(const NoiseSchedule& schedule);

// The timestep at which training saw `sigma`, between two of them: linear in log sigma.
double timestep_of(double sigma, const std::vector<double>& trained);

// alpha and alpha sigma: the weights of x0 and of epsilon in a state of unit variance.
struct Mix {
  double alpha, spread;
};
Mix mix_of_sigma(double sigma);
Mix mix_of_alpha_bar(double alpha_bar);

// x0 and epsilon of x = alpha x0 + spread epsilon.
Estimate x0_estimate(Prediction prediction, const Mix& mix);
Estimate epsilon_estimate(Prediction prediction, const Mix& mix);

// The inverse of the distribution function of Beta(shape, shape) at p in [0, 1].
double beta_quantile(double p, double shape);

}  // namespace diffusion
