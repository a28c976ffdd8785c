#pragma once

// How noise enters the steps of a chain: the Gaussians of published samplers, in one form
// (StepCoefficients).

#include <string>
#include <vector>

#include "diffusion/sampling/gaussian_step.hpp"

namespace diffusion {

// Times of flow matching around a step, falling.
struct FlowInterval {
  double here = 1, there = 0;
  double second = 1;  // of the whole run: the time after its first
};

struct StepKind {
  const char* name;     // of --step_kind
  const char* summary;  // of --help
  double amount;        // default of the noise's amount (sample_eta)
  // The standard deviation of a step on flow matching's times, and the weight of epsilon in its
  // mean; nullptr: ddim_steps, which runs on all levels.
  void (*noise)(const FlowInterval& times, double amount, StepCoefficients& step);
};
// [0]: DDIM.
const std::vector<StepKind>& step_kinds();
// "ddim, flow_sde, ...": of messages.
std::vector<std::string> step_kind_names();
// Throws BadInput beginning with `where` that names the known ones.
const StepKind& step_kind_of(const std::string& name, const std::string& where);

// ddim_steps, or the steps of another kind, with the timesteps of FlowMatchEulerDiscreteScheduler.
// amount: [0, 1], 0: its step. Throws BadInput when the kind needs flow matching and the schedule
// is not of it.
std::vector<StepCoefficients> chain_steps(const NoiseSchedule& schedule,
                                          int64_t num_inference_steps,
                                          const StepKind& kind,
                                          double amount,
                                          double sigma_min);

}  // namespace diffusion
