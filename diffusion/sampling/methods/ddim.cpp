// DDIM, Song et al. 2021: the steps of gaussian_step, which finetuning scores.

#include "diffusion/sampling/gaussian_step.hpp"
#include "diffusion/sampling/sampler.hpp"

namespace diffusion {
namespace {

// x0 and epsilon are computed apart, as ddim_sample does: sampling and finetuning agree to the bit.
SamplerTable ddim_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  SamplerTable table;
  for (const auto& step : ddim_steps(schedule, options.steps, options.eta, options.sigma_min)) {
    SamplerCall call{.timestep = step.timestep};
    call.both = {.prediction = schedule.config.prediction_type, .level = step.here};
    call.from_estimates = {step.there.signal, step.from_epsilon};
    call.from_noise = step.sigma;
    table.calls.push_back(call);
  }
  return table;
}

bool draws(const SamplerOptions& options) { return options.eta > 0 || options.sigma_min > 0; }

void set_ddim_defaults(SchedulerConfig& config) { config.set_alpha_to_one = true; }

const FlowForm kFlow{.takes_sigma_schedule = true, .table = ddim_table};

}  // namespace

extern const Sampler kDdim{.flag = "ddim",
                           .label = "DDIM",
                           .diffusers_class = "DDIMScheduler",
                           .has_eta = true,
                           .stochastic = draws,
                           .class_defaults = set_ddim_defaults,
                           .table = ddim_table,
                           .flow = &kFlow};

}  // namespace diffusion
