#include "diffusion/sampling/sigma_schedule.hpp"

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"

namespace diffusion {
namespace {

// Euler, Heun and DPM++ SDE take fractional timesteps; those of DPM-Solver++ and UniPC are whole.
bool has_whole_timesteps(Sampler sampler) {
  return sampler == Sampler::kDpmpp2m || sampler == Sampler::kDpmpp2mSde ||
         sampler == Sampler::kDpmpp2s || sampler == Sampler::kUniPc;
}

double interpolate(const std::vector<double>& table, double position) {
  const double last = static_cast<double>(table.size() - 1);
  const double clamped = std::min(std::max(position, 0.0), last);
  const auto low = static_cast<size_t>(std::min(std::floor(clamped), std::max(last - 1, 0.0)));
  if (low + 1 >= table.size()) return table.back();
  const double weight = clamped - static_cast<double>(low);
  return table[low] + weight * (table[low + 1] - table[low]);
}

SchedulerConfig with_spacing(const SchedulerConfig& config, Sampler sampler) {
  SchedulerConfig spaced = config;
  const bool unset = config.timestep_spacing == Spacing::kClassDefault;
  // diffusers' singlestep solver knows no other.
  if (unset || sampler == Sampler::kDpmpp2s) spaced.timestep_spacing = Spacing::kLinspace;
  return spaced;
}

// Linspace is not rounded here; the other spacings are DDIM's.
std::vector<double> fractional_timesteps(const SchedulerConfig& spaced, int64_t steps) {
  const auto whole = inference_timesteps(spaced, steps);
  std::vector<double> timesteps(whole.begin(), whole.end());
  if (spaced.timestep_spacing != Spacing::kLinspace) return timesteps;
  const auto gaps = static_cast<double>(std::max<int64_t>(steps - 1, 1));
  for (int64_t i = 0; i < steps; ++i) {
    const double t = static_cast<double>(steps - 1 - i) *
                     (static_cast<double>(spaced.num_train_timesteps - 1) / gaps);
    timesteps[static_cast<size_t>(i)] = static_cast<float>(t);  // diffusers keeps them in fp32
  }
  return timesteps;
}

// Linspace and leading split the range into one more part than there are steps.
std::vector<double> whole_timesteps(const SchedulerConfig& spaced, int64_t steps) {
  if (spaced.timestep_spacing == Spacing::kTrailing) {
    const auto whole = inference_timesteps(spaced, steps);
    return {whole.begin(), whole.end()};
  }
  const int64_t total = spaced.num_train_timesteps;
  if (steps < 1 || steps + 1 > total) {
    throw data::BadInput("steps: expected a value in [1, " + std::to_string(total - 1) +
                         "], found " + std::to_string(steps));
  }
  const double gap = static_cast<double>(total - 1) / static_cast<double>(steps);
  std::vector<double> timesteps;
  for (int64_t i = steps; i >= 1; --i) {
    const bool leading = spaced.timestep_spacing == Spacing::kLeading;
    timesteps.push_back(leading
                            ? static_cast<double>(i * (total / (steps + 1)) + spaced.steps_offset)
                            : std::nearbyint(static_cast<double>(i) * gap));
  }
  if (timesteps.front() >= static_cast<double>(total)) {
    throw data::BadInput("steps: " + std::to_string(steps) + " with steps_offset " +
                         std::to_string(spaced.steps_offset) +
                         " begins beyond the last timestep; take fewer");
  }
  return timesteps;
}

// `count` levels from the highest to the lowest.
std::vector<double> spread_sigmas(Sigmas kind, double highest, double lowest, size_t count) {
  std::vector<double> sigmas;
  for (size_t i = 0; i < count; ++i) {
    const double ramp = count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
    if (kind == Sigmas::kKarras) {  // Karras et al. 2022, eq. 5, rho = 7
      const double from = std::pow(highest, 1.0 / 7), to = std::pow(lowest, 1.0 / 7);
      sigmas.push_back(std::pow(from + ramp * (to - from), 7));
    } else if (kind == Sigmas::kExponential) {
      sigmas.push_back(highest * std::pow(lowest / highest, ramp));
    } else {  // Lee et al. 2024, "Beta Sampling is All You Need"
      sigmas.push_back(lowest + beta_quantile(1 - ramp, 0.6) * (highest - lowest));
    }
  }
  return sigmas;
}

// Rounded where diffusers rounds; it cuts off the rest.
double whole_timestep(double t, const SchedulerConfig& config, Sampler sampler) {
  const bool multistep = sampler == Sampler::kDpmpp2m || sampler == Sampler::kDpmpp2mSde;
  const bool rounded = config.sigmas == Sigmas::kKarras &&
                       !(multistep && config.beta_schedule == "squaredcos_cap_v2");
  return rounded ? std::nearbyint(t) : std::floor(t);
}

double final_sigma(const SchedulerConfig& config,
                   Sampler sampler,
                   const std::vector<double>& trained,
                   double last) {
  const bool has_choice = has_whole_timesteps(sampler) || sampler == Sampler::kEuler;
  if (!has_choice || config.final_sigmas_type == "zero") return 0;
  const bool repeats = sampler == Sampler::kUniPc && config.sigmas != Sigmas::kPlain;
  return repeats ? last : trained.front();
}

}  // namespace

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

SigmaLevels sigma_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SchedulerConfig spaced = with_spacing(schedule.config, options.sampler);
  const auto trained = training_sigmas(schedule);
  const bool whole = has_whole_timesteps(options.sampler);
  SigmaLevels levels;
  levels.timesteps =
      whole ? whole_timesteps(spaced, options.steps) : fractional_timesteps(spaced, options.steps);
  for (const double t : levels.timesteps) levels.sigmas.push_back(interpolate(trained, t));
  if (spaced.sigmas != Sigmas::kPlain && spreads_sigmas(options.sampler)) {
    // diffusers spans all of training where timesteps are whole, else the spaced part of it.
    const double highest = whole ? trained.back() : levels.sigmas.front();
    const double lowest = whole ? trained.front() : levels.sigmas.back();
    levels.sigmas = spread_sigmas(spaced.sigmas, highest, lowest, levels.sigmas.size());
    for (size_t i = 0; i < levels.sigmas.size(); ++i) {
      const double t = timestep_of(levels.sigmas[i], trained);
      levels.timesteps[i] = whole ? whole_timestep(t, spaced, options.sampler) : t;
    }
  }
  levels.sigmas.push_back(final_sigma(spaced, options.sampler, trained, levels.sigmas.back()));
  return levels;
}

Mix mix_of_sigma(double sigma) {
  const double alpha = 1 / std::sqrt(sigma * sigma + 1);
  return {.alpha = alpha, .spread = sigma * alpha};
}

Mix mix_of_alpha_bar(double alpha_bar) {
  return {.alpha = std::sqrt(alpha_bar), .spread = std::sqrt(1 - alpha_bar)};
}

Estimate x0_estimate(Prediction prediction, const Mix& mix) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return {.from_x = 1 / mix.alpha, .from_output = -mix.spread / mix.alpha};
    case Prediction::kV:
      return {.from_x = mix.alpha, .from_output = -mix.spread};
    case Prediction::kSample:
      break;
  }
  return {.from_x = 0, .from_output = 1};
}

Estimate epsilon_estimate(Prediction prediction, const Mix& mix) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return {.from_x = 0, .from_output = 1};
    case Prediction::kV:
      return {.from_x = mix.spread, .from_output = mix.alpha};
    case Prediction::kSample:
      break;
  }
  return {.from_x = 1 / mix.spread, .from_output = -mix.alpha / mix.spread};
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
