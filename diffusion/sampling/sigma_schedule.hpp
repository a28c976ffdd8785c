#pragma once

// Noise levels sigma along a run: the noise as a multiple of the signal, sqrt((1 - abar) / abar)
// (Karras et al. 2022), of flow matching t / (1 - t).

#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

// How the sigmas of a run are spaced where they do not follow the timesteps.
struct SigmaSchedule {
  const char* suffix;      // of --sampling-method: "karras" of dpm++2m_karras
  const char* label;       // of web UIs: "Karras"
  const char* config_key;  // of scheduler_config.json: "use_karras_sigmas"
  bool rounds_timesteps;   // diffusers rounds integer timesteps; otherwise it cuts them off
  // The sigma at `ramp`, from 0 (the highest) to 1 (the lowest).
  double (*sigma)(double highest, double lowest, double ramp);
};
const std::vector<const SigmaSchedule*>& sigma_schedules();

struct SigmaLevels {
  std::vector<double> timesteps;  // [steps]
  std::vector<double> sigmas;     // [steps + 1], falling to 0
};

// As the diffusers class of options.sampler has them. Throws BadInput when steps do not fit.
SigmaLevels sigma_levels(const NoiseSchedule& schedule, const SamplerOptions& options);

// The level of a sigma on the schedule's path: of unit variance, or of flow matching.
NoiseLevel level_of_sigma(const NoiseSchedule& schedule, double sigma);

// The last sigma as final_sigmas_type has it: 0, or that of timestep 0.
double final_sigma(const NoiseSchedule& schedule);

// [num_train_timesteps] sigma of every training timestep, rising.
std::vector<double> training_sigmas(const NoiseSchedule& schedule);

// The timestep at which training saw `sigma`, between two of them: linear in log sigma.
double timestep_of(double sigma, const std::vector<double>& trained);

// The inverse of the distribution function of Beta(shape, shape) at p in [0, 1].
double beta_quantile(double p, double shape);

}  // namespace diffusion
