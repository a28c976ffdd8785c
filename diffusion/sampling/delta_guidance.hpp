#pragma once

// What a finetuning changed, as guidance of another network of the same latent space. Two networks
// whose steps have one variance multiply as their means add: Xu et al., "GenARM" (2025), for
// language models; of a diffusion chain with base, tuned and reference, epsilon is that of the base
// plus strength times (tuned - reference).

#include <limits>
#include <vector>

#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

// A tuned network and what it was tuned from, both as samplers call them.
struct NetworkDelta {
  Denoiser tuned, reference;
  Prediction prediction = Prediction::kEpsilon;  // of both
  double strength = 1;
  // The timesteps between which it leads, both included.
  double least = 0, most = std::numeric_limits<double>::infinity();
};

// The denoiser's output plus strength times (tuned - reference) of each delta, all converted to
// what the denoiser predicts (schedule.config.prediction_type).
Denoiser delta_guided(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const std::vector<NetworkDelta>& deltas);

}  // namespace diffusion
