#include "diffusion/samplers.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/error.hpp"
#include "data/shape.hpp"
#include "diffusion/step.hpp"

namespace diffusion {
namespace {

// Noise levels of the methods that think in sigma = sqrt((1 - abar) / abar) (Karras et al. 2022).
struct SigmaLevels {
  std::vector<double> timesteps;  // [steps]
  std::vector<double> sigmas;     // [steps + 1], the last is where the chain ends
};

// sigma of every training timestep; ascending
std::vector<double> training_sigmas(const NoiseSchedule& schedule) {
  std::vector<double> sigmas;
  for (double bar : schedule.alphas_cumprod) {
    if (bar == 0) bar = std::exp2(-24);  // zero terminal SNR: finite, as diffusers has it
    sigmas.push_back(std::sqrt((1 - bar) / bar));
  }
  return sigmas;
}

double interpolate(const std::vector<double>& table, double position) {
  const double last = static_cast<double>(table.size() - 1);
  const double clamped = std::min(std::max(position, 0.0), last);
  const auto low = static_cast<size_t>(std::min(std::floor(clamped), std::max(last - 1, 0.0)));
  if (low + 1 >= table.size()) return table.back();
  const double weight = clamped - static_cast<double>(low);
  return table[low] + weight * (table[low + 1] - table[low]);
}

// The timestep at which training saw `sigma`, between two of them: linear in log sigma.
double timestep_of(double sigma, const std::vector<double>& sigmas) {
  size_t low = 0;
  while (low + 2 < sigmas.size() && sigmas[low + 1] <= sigma) ++low;
  const double a = std::log(sigmas[low]), b = std::log(sigmas[low + 1]);
  return static_cast<double>(low) + std::min(std::max((a - std::log(sigma)) / (a - b), 0.0), 1.0);
}

// Karras et al. 2022, eq. 5, rho = 7.
std::vector<double> karras_sigmas(double highest, double lowest, int64_t steps) {
  const double from = std::pow(highest, 1.0 / 7), to = std::pow(lowest, 1.0 / 7);
  std::vector<double> sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    const double ramp = steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    sigmas.push_back(std::pow(from + ramp * (to - from), 7));
  }
  return sigmas;
}

Spacing spacing_of(const SchedulerConfig& config) {
  return config.timestep_spacing == Spacing::kClassDefault ? Spacing::kLinspace
                                                           : config.timestep_spacing;
}

// Euler's linspace is not rounded; the other spacings are DDIM's.
std::vector<double> euler_timesteps(const SchedulerConfig& config, int64_t steps) {
  SchedulerConfig spaced = config;
  spaced.timestep_spacing = spacing_of(config);
  const auto whole = inference_timesteps(spaced, steps);
  std::vector<double> timesteps(whole.begin(), whole.end());
  if (spaced.timestep_spacing != Spacing::kLinspace) return timesteps;
  const auto gaps = static_cast<double>(std::max<int64_t>(steps - 1, 1));
  for (int64_t i = 0; i < steps; ++i) {
    const double t = static_cast<double>(steps - 1 - i) *
                     (static_cast<double>(config.num_train_timesteps - 1) / gaps);
    timesteps[static_cast<size_t>(i)] = static_cast<float>(t);  // diffusers keeps them in fp32
  }
  return timesteps;
}

// DPM-Solver's linspace and leading split the range into one more part than there are steps.
std::vector<double> dpm_timesteps(const SchedulerConfig& config, int64_t steps) {
  SchedulerConfig spaced = config;
  spaced.timestep_spacing = spacing_of(config);
  if (spaced.timestep_spacing == Spacing::kTrailing) {
    const auto whole = inference_timesteps(spaced, steps);
    return {whole.begin(), whole.end()};
  }
  const int64_t total = config.num_train_timesteps;
  if (steps < 1 || steps + 1 > total) {
    throw data::BadInput("steps: expected a value in [1, " + std::to_string(total - 1) +
                         "], found " + std::to_string(steps));
  }
  const double gap = static_cast<double>(total - 1) / static_cast<double>(steps);
  std::vector<double> timesteps;
  for (int64_t i = steps; i >= 1; --i) {
    const bool leading = spaced.timestep_spacing == Spacing::kLeading;
    timesteps.push_back(leading
                            ? static_cast<double>(i * (total / (steps + 1)) + config.steps_offset)
                            : std::nearbyint(static_cast<double>(i) * gap));
  }
  if (timesteps.front() >= static_cast<double>(total)) {
    throw data::BadInput("steps: " + std::to_string(steps) + " with steps_offset " +
                         std::to_string(config.steps_offset) +
                         " begins beyond the last timestep; take fewer");
  }
  return timesteps;
}

SigmaLevels sigma_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SchedulerConfig& config = schedule.config;
  const auto trained = training_sigmas(schedule);
  const bool dpm = options.sampler == Sampler::kDpmpp2m;
  SigmaLevels levels;
  levels.timesteps =
      dpm ? dpm_timesteps(config, options.steps) : euler_timesteps(config, options.steps);
  for (const double t : levels.timesteps) levels.sigmas.push_back(interpolate(trained, t));
  if (config.use_karras_sigmas && options.sampler != Sampler::kEulerAncestral) {
    // diffusers spans all of training for DPM-Solver, the spaced part of it for Euler.
    const double highest = dpm ? trained.back() : levels.sigmas.front();
    const double lowest = dpm ? trained.front() : levels.sigmas.back();
    levels.sigmas = karras_sigmas(highest, lowest, options.steps);
    for (size_t i = 0; i < levels.sigmas.size(); ++i) {
      const double t = timestep_of(levels.sigmas[i], trained);
      const bool rounded = dpm && config.beta_schedule != "squaredcos_cap_v2";
      levels.timesteps[i] = rounded ? std::nearbyint(t) : dpm ? std::floor(t) : t;
    }
  }
  const bool to_zero =
      config.final_sigmas_type == "zero" || options.sampler == Sampler::kEulerAncestral;
  levels.sigmas.push_back(to_zero ? 0.0 : trained.front());
  return levels;
}

// x0 of a state x = x0 + sigma epsilon.
void set_x0_of_sigma(SamplerStep& step, Prediction prediction, double sigma) {
  const double norm = sigma * sigma + 1;
  step.input_scale = 1 / std::sqrt(norm);
  step.x0_from_x = prediction == Prediction::kEpsilon ? 1
                   : prediction == Prediction::kV     ? 1 / norm
                                                      : 0;
  step.x0_from_output = prediction == Prediction::kEpsilon ? -sigma
                        : prediction == Prediction::kV     ? -sigma / std::sqrt(norm)
                                                           : 1;
}

// x0 of a state x = alpha x0 + spread epsilon, alpha^2 + spread^2 = 1.
void set_x0_of_alpha(SamplerStep& step, Prediction prediction, double alpha, double spread) {
  step.x0_from_x = prediction == Prediction::kEpsilon ? 1 / alpha
                   : prediction == Prediction::kV     ? alpha
                                                      : 0;
  step.x0_from_output = prediction == Prediction::kEpsilon ? -spread / alpha
                        : prediction == Prediction::kV     ? -spread
                                                           : 1;
}

// Euler's method for dx/dsigma = (x - x0) / sigma, from sigma to sigma_down, then noise (the
// ancestral kind): Karras et al. 2022, algorithm 1 without churn; k-diffusion's ancestral step.
SamplerTable euler_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SigmaLevels levels = sigma_levels(schedule, options);
  SamplerTable table;
  const double highest = levels.sigmas.front();
  const bool leading = spacing_of(schedule.config) == Spacing::kLeading;
  table.initial_scale = leading ? std::sqrt(highest * highest + 1) : highest;
  for (size_t i = 0; i < levels.timesteps.size(); ++i) {
    const double from = levels.sigmas[i], to = levels.sigmas[i + 1];
    double up = 0;
    if (options.sampler == Sampler::kEulerAncestral) {
      up = std::sqrt(to * to * (from * from - to * to) / (from * from));
    }
    const double down = std::sqrt(to * to - up * up);
    SamplerStep step{.timestep = levels.timesteps[i]};
    set_x0_of_sigma(step, schedule.config.prediction_type, from);
    step.from_x = down / from;
    step.from_x0 = 1 - down / from;
    step.from_noise = up;
    table.steps.push_back(step);
  }
  return table;
}

// DPM-Solver++(2M), Lu et al. 2022b, algorithm 2, midpoint form. With sigma = spread / alpha,
// exp(-h) is sigma_next / sigma.
SamplerTable dpm_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SchedulerConfig& config = schedule.config;
  const SigmaLevels levels = sigma_levels(schedule, options);
  const size_t count = levels.timesteps.size();
  const auto alpha_of = [](double sigma) { return 1 / std::sqrt(sigma * sigma + 1); };
  SamplerTable table;
  for (size_t i = 0; i < count; ++i) {
    const double from = levels.sigmas[i], to = levels.sigmas[i + 1];
    SamplerStep step{.timestep = levels.timesteps[i]};
    set_x0_of_alpha(step, config.prediction_type, alpha_of(from), from * alpha_of(from));
    step.from_x = to * alpha_of(to) / (from * alpha_of(from));
    const double weight = alpha_of(to) * (1 - to / from);
    const bool lower_last = config.euler_at_final || (config.lower_order_final && count < 15) ||
                            config.final_sigmas_type == "zero";
    const bool first_order = config.solver_order == 1 || i == 0 || (i + 1 == count && lower_last);
    // 1 / (2 r), r = h_before / h
    const double change =
        first_order ? 0 : 0.5 * std::log(from / to) / std::log(levels.sigmas[i - 1] / from);
    step.from_x0 = weight * (1 + change);
    step.from_previous_x0 = -weight * change;
    table.steps.push_back(step);
  }
  return table;
}

// Ho et al. 2020, eq. 7, from each timestep to the next of the list; the last goes to abar = 1.
SamplerTable ddpm_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const auto timesteps = inference_timesteps(schedule.config, options.steps);
  SamplerTable table;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const bool last = i + 1 == timesteps.size();
    const double a = schedule.alphas_cumprod[static_cast<size_t>(timesteps[i])];
    const double b = last ? 1 : schedule.alphas_cumprod[static_cast<size_t>(timesteps[i + 1])];
    SamplerStep step{.timestep = static_cast<double>(timesteps[i])};
    set_x0_of_alpha(step, schedule.config.prediction_type, std::sqrt(a), std::sqrt(1 - a));
    step.from_x0 = std::sqrt(b) * (1 - a / b) / (1 - a);
    step.from_x = std::sqrt(a / b) * (1 - b) / (1 - a);
    step.from_noise = std::sqrt((1 - b) / (1 - a) * (1 - a / b));
    table.steps.push_back(step);
  }
  return table;
}

at::Tensor sample_ddim(const Denoiser& denoiser,
                       at::Tensor x,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options) {
  int64_t done = 0;
  for (const auto& step : ddim_steps(schedule, options.steps, options.eta, options.sigma_min)) {
    const at::Tensor output = denoiser(x, static_cast<double>(step.timestep));
    at::Tensor noise;
    if (step.sigma > 0) noise = draw_noise(generators, x.sizes().slice(1), x.device());
    x = ddim_sample(step, schedule.config.prediction_type, output, x, noise).next;
    if (options.on_step) options.on_step(++done);
  }
  return x;
}

at::Tensor sample_by_table(const Denoiser& denoiser,
                           const at::Tensor& noise,
                           const SamplerTable& table,
                           std::vector<at::Generator>& generators,
                           const SamplerOptions& options) {
  at::Tensor x = noise * table.initial_scale, previous_x0;  // [B, C, H, W]
  int64_t done = 0;
  for (const auto& step : table.steps) {
    const at::Tensor input = step.input_scale == 1 ? x : x * step.input_scale;
    const at::Tensor output = denoiser(input, step.timestep).to(x.scalar_type());
    const at::Tensor x0 = step.x0_from_x * x + step.x0_from_output * output;
    x = step.from_x * x + step.from_x0 * x0;
    if (step.from_previous_x0 != 0) x = x + step.from_previous_x0 * previous_x0;
    if (step.from_noise > 0)
      x = x + step.from_noise * draw_noise(generators, x.sizes().slice(1), x.device());
    previous_x0 = x0;
    if (options.on_step) options.on_step(++done);
  }
  return x;
}

}  // namespace

SamplerTable sampler_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  switch (options.sampler) {
    case Sampler::kDdpm:
      return ddpm_table(schedule, options);
    case Sampler::kEuler:
    case Sampler::kEulerAncestral:
      return euler_table(schedule, options);
    case Sampler::kDpmpp2m:
      return dpm_table(schedule, options);
    case Sampler::kDdim:
      break;
  }
  TORCH_CHECK(false, "sampler_table: DDIM has no table, see ddim_steps");
}

bool draws_noise(const SamplerOptions& options) {
  if (options.sampler == Sampler::kDdim) return options.eta > 0 || options.sigma_min > 0;
  return options.sampler == Sampler::kDdpm || options.sampler == Sampler::kEulerAncestral;
}

at::Tensor sample(const Denoiser& denoiser,
                  const at::Tensor& noise,
                  const NoiseSchedule& schedule,
                  std::vector<at::Generator>& generators,
                  const SamplerOptions& options) {
  data::check_shape(noise, {-1, -1, -1, -1}, "sample: noise");
  TORCH_CHECK(!draws_noise(options) || static_cast<int64_t>(generators.size()) == noise.size(0),
              "sample: expected ", noise.size(0), " generators, got ", generators.size());
  if (options.sampler == Sampler::kDdim)
    return sample_ddim(denoiser, noise, schedule, generators, options);
  return sample_by_table(denoiser, noise, sampler_table(schedule, options), generators, options);
}

}  // namespace diffusion
