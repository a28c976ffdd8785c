// Methods of Karras et al. 2022, whose state is x0 + sigma epsilon and whose time is sigma.

#include <algorithm>
#include <cmath>

#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {

// On the levels of flow matching: methods/flow_euler_heun.cpp
extern const FlowForm kFlowEuler, kFlowHeun;

namespace {

// The network sees alpha times the state, which has unit variance.
SamplerCall call_at(double timestep,
                    double sigma,
                    OutputTransform (*estimate)(Prediction, const NoiseLevel&),
                    Prediction prediction) {
  const NoiseLevel level = level_of_sigma(sigma);
  SamplerCall call{.timestep = timestep, .input_scale = level.signal};
  call.estimate = estimate(prediction, level);
  call.estimate.from_x *= level.signal;
  return call;
}

double initial_scale(const NoiseSchedule& schedule, double highest) {
  const bool leading = schedule.config.timestep_spacing == Spacing::kLeading;
  return leading ? std::sqrt(highest * highest + 1) : highest;
}

// From `from` down past `to`, then up to it with noise: k-diffusion's ancestral step.
struct Ancestral {
  double down, up;
};
Ancestral ancestral(double from, double to) {
  const double up = std::min(to, std::sqrt(to * to * (from * from - to * to) / (from * from)));
  return {.down = std::sqrt(to * to - up * up), .up = up};
}

// Euler's method for dx/dsigma = (x - x0) / sigma from `from` to `to`; e[0] is x0.
void set_euler(SamplerCall& call, double from, double to) {
  call.from_start = to / from;
  call.from_estimates = {1 - to / from};
}

// Karras et al. 2022, algorithm 1 without churn; or the ancestral kind.
SamplerTable euler_steps(const NoiseSchedule& schedule, const SigmaLevels& levels, bool noisy) {
  SamplerTable table{.initial_scale = initial_scale(schedule, levels.sigmas.front())};
  for (size_t i = 0; i < levels.timesteps.size(); ++i) {
    const double from = levels.sigmas[i], to = levels.sigmas[i + 1];
    const Ancestral part = noisy ? ancestral(from, to) : Ancestral{.down = to, .up = 0};
    SamplerCall call = call_at(levels.timesteps[i], from, x0_from, schedule.config.prediction_type);
    set_euler(call, from, part.down);
    call.from_noise = part.up;
    table.calls.push_back(call);
  }
  return table;
}

SamplerTable euler_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  SigmaLevels levels = sigma_levels(schedule, options);
  levels.sigmas.back() = final_sigma(schedule);
  return euler_steps(schedule, levels, false);
}

SamplerTable euler_ancestral_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  return euler_steps(schedule, sigma_levels(schedule, options), true);
}

// Karras et al. 2022, algorithm 1 without churn, whole: an Euler step, then again with the mean of
// the slopes at its two ends, which are the epsilons. The last step, to 0, is Euler's.
SamplerTable heun_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SigmaLevels levels = sigma_levels(schedule, options);
  const Prediction prediction = schedule.config.prediction_type;
  SamplerTable table{.initial_scale = initial_scale(schedule, levels.sigmas.front())};
  for (size_t i = 0; i < levels.timesteps.size(); ++i) {
    const double from = levels.sigmas[i], to = levels.sigmas[i + 1];
    SamplerCall first = call_at(levels.timesteps[i], from, epsilon_from, prediction);
    first.from_start = 1;
    first.from_estimates = {to - from};
    table.calls.push_back(first);
    if (to == 0) continue;
    SamplerCall second = call_at(levels.timesteps[i + 1], to, epsilon_from, prediction);
    second.start_from_x = 0;
    second.start_from_start = 1;
    second.from_start = 1;
    second.from_estimates = {(to - from) / 2, (to - from) / 2};
    table.calls.push_back(second);
  }
  return table;
}

// DPM-Solver++ of second order for the SDE, singlestep (k-diffusion's dpmpp_sde with r = 1/2): a
// noisy step to the middle of log sigma, then one over the whole way with the middle's x0. The
// noise is of one Brownian motion in sigma: what falls on the whole way is the sum of its two
// parts.
SamplerTable dpm_sde_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SigmaLevels levels = sigma_levels(schedule, options);
  const auto trained = training_sigmas(schedule);
  const Prediction prediction = schedule.config.prediction_type;
  SamplerTable table{.initial_scale = initial_scale(schedule, levels.sigmas.front())};
  for (size_t i = 0; i < levels.timesteps.size(); ++i) {
    const double from = levels.sigmas[i], to = levels.sigmas[i + 1], middle = std::sqrt(from * to);
    const Ancestral half = ancestral(from, middle), whole = ancestral(from, to);
    SamplerCall first = call_at(levels.timesteps[i], from, x0_from, prediction);
    set_euler(first, from, half.down);
    first.from_noise = half.up;
    table.calls.push_back(first);
    if (to == 0) continue;
    SamplerCall second = call_at(timestep_of(middle, trained), middle, x0_from, prediction);
    second.start_from_x = 0;
    second.start_from_start = 1;
    set_euler(second, from, whole.down);
    second.from_previous_noise = whole.up * std::sqrt((from - middle) / (from - to));
    second.from_noise = whole.up * std::sqrt((middle - to) / (from - to));
    table.calls.push_back(second);
  }
  return table;
}

// Unlike diffusers' other classes, these two have Stable Diffusion's range of betas.
void set_sd_range(SchedulerConfig& config) {
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
}

}  // namespace

extern const Sampler kEuler{.flag = "euler",
                            .label = "Euler",
                            .diffusers_class = "EulerDiscreteScheduler",
                            .takes_sigma_schedule = true,
                            .stochastic = draws_never,
                            .table = euler_table,
                            .flow = &kFlowEuler};

extern const Sampler kEulerAncestral{.flag = "euler_a",
                                     .label = "Euler a",
                                     .diffusers_class = "EulerAncestralDiscreteScheduler",
                                     .aliases = {"eulerancestral"},
                                     .stochastic = draws_always,
                                     .table = euler_ancestral_table};

extern const Sampler kHeun{.flag = "heun",
                           .label = "Heun",
                           .diffusers_class = "HeunDiscreteScheduler",
                           .takes_sigma_schedule = true,
                           .stochastic = draws_never,
                           .class_defaults = set_sd_range,
                           .table = heun_table,
                           .flow = &kFlowHeun};

extern const Sampler kDpmppSde{.flag = "dpm++sde",
                               .label = "DPM++ SDE",
                               .diffusers_class = "DPMSolverSDEScheduler",
                               .aliases = {"dpm++sdegpu"},
                               .takes_sigma_schedule = true,
                               .stochastic = draws_always,
                               .class_defaults = set_sd_range,
                               .table = dpm_sde_table};

}  // namespace diffusion
