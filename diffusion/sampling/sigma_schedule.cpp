#include "diffusion/sampling/sigma_schedule.hpp"

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/flow_levels.hpp"

namespace diffusion {
namespace {

// Karras et al. 2022, eq. 5, rho = 7.
double karras_sigma(double highest, double lowest, double ramp) {
  const double from = std::pow(highest, 1.0 / 7), to = std::pow(lowest, 1.0 / 7);
  return std::pow(from + ramp * (to - from), 7);
}

// Evenly in log sigma.
double exponential_sigma(double highest, double lowest, double ramp) {
  return highest * std::pow(lowest / highest, ramp);
}

// Lee et al. 2024, "Beta Sampling is All You Need".
double beta_sigma(double highest, double lowest, double ramp) {
  return lowest + beta_quantile(1 - ramp, 0.6) * (highest - lowest);
}

const SigmaSchedule kKarras{.suffix = "karras",
                            .label = "Karras",
                            .config_key = "use_karras_sigmas",
                            .rounds_timesteps = true,
                            .sigma = karras_sigma};
const SigmaSchedule kExponential{.suffix = "exponential",
                                 .label = "Exponential",
                                 .config_key = "use_exponential_sigmas",
                                 .rounds_timesteps = false,
                                 .sigma = exponential_sigma};
const SigmaSchedule kBeta{.suffix = "beta",
                          .label = "Beta",
                          .config_key = "use_beta_sigmas",
                          .rounds_timesteps = false,
                          .sigma = beta_sigma};

double interpolate(const std::vector<double>& table, double position) {
  const double last = static_cast<double>(table.size() - 1);
  const double clamped = std::min(std::max(position, 0.0), last);
  const auto low = static_cast<size_t>(std::min(std::floor(clamped), std::max(last - 1, 0.0)));
  if (low + 1 >= table.size()) return table.back();
  const double weight = clamped - static_cast<double>(low);
  return table[low] + weight * (table[low + 1] - table[low]);
}

// Linspace is not rounded here; the other spacings are DDIM's.
std::vector<double> fractional_timesteps(const SchedulerConfig& config, int64_t steps) {
  const auto whole = inference_timesteps(config, steps);
  std::vector<double> timesteps(whole.begin(), whole.end());
  if (config.timestep_spacing != Spacing::kLinspace) return timesteps;
  const auto gaps = static_cast<double>(std::max<int64_t>(steps - 1, 1));
  for (int64_t i = 0; i < steps; ++i) {
    const double t = static_cast<double>(steps - 1 - i) *
                     (static_cast<double>(config.num_train_timesteps - 1) / gaps);
    timesteps[static_cast<size_t>(i)] = static_cast<float>(t);  // diffusers keeps them in fp32
  }
  return timesteps;
}

// Linspace and leading split the range into one more part than there are steps.
std::vector<double> whole_timesteps(const SchedulerConfig& config, int64_t steps) {
  if (config.timestep_spacing == Spacing::kTrailing) {
    const auto whole = inference_timesteps(config, steps);
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
    const bool leading = config.timestep_spacing == Spacing::kLeading;
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

// `count` sigmas from the highest to the lowest.
std::vector<double> spaced_sigmas(const SigmaSchedule& spacing,
                                  double highest,
                                  double lowest,
                                  size_t count) {
  std::vector<double> sigmas;
  for (size_t i = 0; i < count; ++i) {
    const double ramp = count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
    sigmas.push_back(spacing.sigma(highest, lowest, ramp));
  }
  return sigmas;
}

SigmaLevels flow_sigma_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const FlowTimes times =
      flow_solver_times(schedule, options.steps, options.sampler->flow->starts_from_one);
  SigmaLevels levels{.timesteps = times.timesteps, .sigmas = {}};
  for (const double t : times.t) levels.sigmas.push_back(t / (1 - t));
  return levels;
}

}  // namespace

NoiseLevel level_of_sigma(const NoiseSchedule& schedule, double sigma) {
  return schedule.config.flow ? flow_level(sigma / (1 + sigma)) : level_of_sigma(sigma);
}

const std::vector<const SigmaSchedule*>& sigma_schedules() {
  static const std::vector<const SigmaSchedule*> rows = {&kKarras, &kExponential, &kBeta};
  return rows;
}

std::vector<double> training_sigmas(const NoiseSchedule& schedule) {
  std::vector<double> sigmas;
  for (const double wide : schedule.alphas_cumprod) {
    // Zero terminal SNR: finite, as diffusers has it. In fp32 as there, since timesteps are cut
    // off.
    const float bar = wide == 0 ? std::exp2(-24.0F) : static_cast<float>(wide);
    sigmas.push_back(std::sqrt((1 - bar) / bar));
  }
  return sigmas;
}

double timestep_of(double sigma, const std::vector<double>& trained) {
  size_t low = 0;
  while (low + 2 < trained.size() && trained[low + 1] <= sigma) ++low;
  const double a = std::log(static_cast<float>(trained[low])),
               b = std::log(static_cast<float>(trained[low + 1]));
  return static_cast<double>(low) + std::min(std::max((a - std::log(sigma)) / (a - b), 0.0), 1.0);
}

double final_sigma(const NoiseSchedule& schedule) {
  return schedule.config.final_sigmas_type == "zero" ? 0 : training_sigmas(schedule).front();
}

SigmaLevels sigma_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  if (schedule.config.flow) return flow_sigma_levels(schedule, options);
  SchedulerConfig config = schedule.config;
  if (config.timestep_spacing == Spacing::kClassDefault)
    config.timestep_spacing = Spacing::kLinspace;
  const auto trained = training_sigmas(schedule);
  const bool whole = options.sampler->integer_timesteps;
  SigmaLevels levels;
  levels.timesteps =
      whole ? whole_timesteps(config, options.steps) : fractional_timesteps(config, options.steps);
  for (const double t : levels.timesteps) levels.sigmas.push_back(interpolate(trained, t));
  if (config.sigma_schedule != nullptr && options.sampler->takes_sigma_schedule) {
    // diffusers spans all of training where timesteps are integers, else the spaced part of it.
    const double highest = whole ? trained.back() : levels.sigmas.front();
    const double lowest = whole ? trained.front() : levels.sigmas.back();
    levels.sigmas = spaced_sigmas(*config.sigma_schedule, highest, lowest, levels.sigmas.size());
    for (size_t i = 0; i < levels.sigmas.size(); ++i) {
      double t = timestep_of(levels.sigmas[i], trained);
      if (whole) t = config.sigma_schedule->rounds_timesteps ? std::nearbyint(t) : std::floor(t);
      levels.timesteps[i] = t;
    }
  }
  levels.sigmas.push_back(0);
  return levels;
}

double beta_quantile(double p, double shape) {
  if (p > 0.5) return 1 - beta_quantile(1 - p, shape);  // symmetric
  // The distribution function's series about 0, x^a / B(a, a) sum_n (1 - a)_n / n! x^n / (a + n),
  // converges fast up to the median; bisect it.
  const double log_beta = 2 * std::lgamma(shape) - std::lgamma(2 * shape);
  const auto distribution = [&](double x) {
    double term = 1, sum = 0;
    for (int n = 0; n < 200 && std::abs(term) > 1e-18; ++n) {
      sum += term / (shape + n);
      term *= x * (n + 1 - shape) / (n + 1);
    }
    return std::exp(shape * std::log(x) - log_beta) * sum;
  };
  double low = 0, high = 0.5;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (distribution(middle) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace diffusion
