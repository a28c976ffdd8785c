// Euler's and Heun's methods on the levels of flow matching: dx/dt is the network's velocity.

#include "diffusion/sampling/flow_levels.hpp"
#include "diffusion/sampling/sampler.hpp"

namespace diffusion {
namespace {

// Whose estimate is the velocity itself.
SamplerCall call_at(double timestep) {
  SamplerCall call{.timestep = timestep};
  call.from_start = 1;
  return call;
}

SamplerTable flow_euler_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const FlowTimes times = flow_match_times(schedule, options.steps);
  SamplerTable table;
  for (size_t i = 0; i < times.timesteps.size(); ++i) {
    SamplerCall call = call_at(times.timesteps[i]);
    call.from_estimates = {times.t[i + 1] - times.t[i]};
    table.calls.push_back(call);
  }
  return table;
}

// An Euler step, then again with the mean of the velocities at its two ends. The last step, to 0,
// is Euler's.
SamplerTable flow_heun_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const FlowTimes times = flow_match_times(schedule, options.steps);
  SamplerTable table;
  for (size_t i = 0; i < times.timesteps.size(); ++i) {
    const double gap = times.t[i + 1] - times.t[i];
    SamplerCall first = call_at(times.timesteps[i]);
    first.from_estimates = {gap};
    table.calls.push_back(first);
    if (i + 1 == times.timesteps.size()) continue;
    SamplerCall second = call_at(times.timesteps[i + 1]);
    second.start_from_x = 0;
    second.start_from_start = 1;
    second.from_estimates = {gap / 2, gap / 2};
    table.calls.push_back(second);
  }
  return table;
}

}  // namespace

extern const FlowForm kFlowEuler, kFlowHeun;

const FlowForm kFlowEuler{
    .diffusers_class = "FlowMatchEulerDiscreteScheduler",
    .config_keys = {"shift", "use_dynamic_shifting", "base_shift", "max_shift",
                    "base_image_seq_len", "max_image_seq_len", "shift_terminal", "time_shift_type"},
    .takes_sigma_schedule = true,
    .table = flow_euler_table};

const FlowForm kFlowHeun{.diffusers_class = "FlowMatchHeunDiscreteScheduler",
                         .config_keys = {"shift"},
                         .takes_sigma_schedule = true,
                         .table = flow_heun_table};

}  // namespace diffusion
