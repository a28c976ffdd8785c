// DDPM, LCM and TCD: from one timestep of a list to the next. Their state has unit variance.

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/sampler.hpp"

namespace diffusion {
namespace {

// abar of a timestep: these methods are written in it.
double bar_at(const NoiseSchedule& schedule, int64_t timestep) {
  return schedule.alphas_cumprod[static_cast<size_t>(timestep)];
}

// The timesteps of LCM and TCD: some of the original_inference_steps of the distillation.
std::vector<int64_t> distilled_timesteps(const SchedulerConfig& config, int64_t steps) {
  const int64_t original = config.original_inference_steps;
  if (steps < 1 || steps > original) {
    throw data::BadInput(
        "steps: expected a value in [1, original_inference_steps = " + std::to_string(original) +
        "] with LCM and TCD, found " + std::to_string(steps));
  }
  const int64_t stride = config.num_train_timesteps / original;
  const double gap = static_cast<double>(original) / static_cast<double>(steps);
  std::vector<int64_t> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    const auto index = static_cast<int64_t>(std::floor(static_cast<double>(i) * gap));
    timesteps.push_back((original - index) * stride - 1);
  }
  return timesteps;
}

// Ho et al. 2020, eq. 7, from each timestep to the next of the list; the last goes to abar = 1.
SamplerTable ddpm_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const auto timesteps = inference_timesteps(schedule.config, options.steps);
  SamplerTable table;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const bool last = i + 1 == timesteps.size();
    const double a = bar_at(schedule, timesteps[i]);
    const double b = last ? 1 : bar_at(schedule, timesteps[i + 1]);
    SamplerCall call{.timestep = static_cast<double>(timesteps[i])};
    call.estimate = x0_from(schedule.config.prediction_type, level_of_alpha_bar(a));
    call.from_estimates = {std::sqrt(b) * (1 - a / b) / (1 - a)};
    call.from_start = std::sqrt(a / b) * (1 - b) / (1 - a);
    call.from_noise = std::sqrt((1 - b) / (1 - a) * (1 - a / b));
    table.calls.push_back(call);
  }
  return table;
}

// Luo et al. 2023, algorithm 3: the consistency function, then noise of the next level; no noise
// after the last.
SamplerTable lcm_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SchedulerConfig& config = schedule.config;
  const auto timesteps = distilled_timesteps(config, options.steps);
  SamplerTable table;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const bool last = i + 1 == timesteps.size();
    const NoiseLevel next = last ? NoiseLevel{} : level_at(schedule, timesteps[i + 1]);
    SamplerCall call{.timestep = static_cast<double>(timesteps[i])};
    call.estimate = x0_from(config.prediction_type, level_at(schedule, timesteps[i]));
    const double scaled = call.timestep * config.timestep_scaling, data = 0.5;
    const double norm = scaled * scaled + data * data;  // c_skip and c_out of Song et al. 2023
    call.from_start = next.signal * data * data / norm;
    call.from_estimates = {next.signal * scaled / std::sqrt(norm)};
    call.from_noise = next.noise;
    table.calls.push_back(call);
  }
  return table;
}

// Zheng et al. 2024, algorithm 4: by DDIM to s = (1 - eta) t', then noise up to t'; the last goes
// to timestep 0 without noise.
SamplerTable tcd_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const auto timesteps = distilled_timesteps(schedule.config, options.steps);
  SamplerTable table;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const bool last = i + 1 == timesteps.size();
    const int64_t next = last ? 0 : timesteps[i + 1];
    // In fp32, as diffusers: a product next to a whole number falls on its side.
    const auto below = static_cast<int64_t>(
        std::floor(static_cast<float>(1 - options.eta) * static_cast<float>(next)));
    const double b = bar_at(schedule, next), s = bar_at(schedule, below);
    const NoiseLevel from = level_at(schedule, timesteps[i]), to = level_of_alpha_bar(s);
    const double renoised = options.eta > 0 && !last ? b / s : 1;
    SamplerCall call{.timestep = static_cast<double>(timesteps[i])};
    call.estimate = x0_from(schedule.config.prediction_type, from);
    // to.signal x0 + to.noise (x - from.signal x0) / from.noise
    const double slope = to.noise / from.noise;
    call.from_start = std::sqrt(renoised) * slope;
    call.from_estimates = {std::sqrt(renoised) * (to.signal - slope * from.signal)};
    call.from_noise = std::sqrt(1 - renoised);
    table.calls.push_back(call);
  }
  return table;
}

void set_distilled_defaults(SchedulerConfig& config) {
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = "scaled_linear";
  config.set_alpha_to_one = true;
}

}  // namespace

extern const Sampler kDdpm{.flag = "ddpm",
                           .label = "DDPM",
                           .diffusers_class = "DDPMScheduler",
                           .stochastic = draws_always,
                           .table = ddpm_table};

extern const Sampler kLcm{.flag = "lcm",
                          .label = "LCM",
                          .diffusers_class = "LCMScheduler",
                          .config_keys = {"original_inference_steps", "timestep_scaling"},
                          .stochastic = draws_always,
                          .class_defaults = set_distilled_defaults,
                          .table = lcm_table};

extern const Sampler kTcd{.flag = "tcd",
                          .label = "TCD",
                          .diffusers_class = "TCDScheduler",
                          .config_keys = {"original_inference_steps", "timestep_scaling"},
                          .has_eta = true,
                          .stochastic = draws_with_eta,
                          .class_defaults = set_distilled_defaults,
                          .table = tcd_table};

}  // namespace diffusion
