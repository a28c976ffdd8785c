#pragma once

// The times of a run on the levels of flow matching, x = (1 - t) x0 + t epsilon, as diffusers'
// schedulers have them.

#include "diffusion/sampling/noise_schedule.hpp"

namespace diffusion {

struct FlowTimes {
  std::vector<double> timesteps;  // [steps], what the network is told
  std::vector<double> t;          // [steps + 1], falling to 0
};

// FlowMatchEulerDiscreteScheduler, and FlowMatchHeunDiscreteScheduler for its keys. The smallest
// time of training is shifted twice, as there. Throws BadInput when `steps` is not in [1,
// num_train_timesteps].
FlowTimes flow_match_times(const NoiseSchedule& schedule, int64_t steps);

// The solvers with use_flow_sigmas (DPMSolverMultistepScheduler and its like), which cut timesteps
// off to integers. from_one: the first time is 1 before the shift (UniPCMultistepScheduler).
FlowTimes flow_solver_times(const NoiseSchedule& schedule, int64_t steps, bool from_one);

}  // namespace diffusion
