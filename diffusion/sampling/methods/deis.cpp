// DEIS, Zhang and Chen 2023, in its log-rho multistep form: the network's epsilon is extrapolated
// by a polynomial in log sigma, and integrated over sigma exactly.

#include <algorithm>
#include <cmath>

#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {
namespace {

// The antiderivative in sigma of the Lagrange polynomial in log sigma that is 1 at `one` and 0 at
// `zeros`, of which there are 0 to 2.
double basis_integral(double sigma, double one, const std::vector<double>& zeros) {
  const double l = std::log(sigma), a = zeros.empty() ? 0 : std::log(zeros[0]);
  if (zeros.empty()) return sigma;
  if (zeros.size() == 1) return sigma * (l - a - 1) / (std::log(one) - a);
  const double b = std::log(zeros[1]);
  return sigma * (l * l - 2 * l + 2 - (a + b) * (l - 1) + a * b) /
         ((std::log(one) - a) * (std::log(one) - b));
}

// The integrals from sigmas[from] to sigmas[from + 1] of the polynomials of the last `order`
// levels, the newest first.
std::vector<double> integrals(const std::vector<double>& sigmas, size_t from, size_t order) {
  std::vector<double> weights;
  for (size_t k = 0; k < order; ++k) {
    std::vector<double> zeros;
    for (size_t j = 0; j < order; ++j) {
      if (j != k) zeros.push_back(sigmas[from - j]);
    }
    weights.push_back(basis_integral(sigmas[from + 1], sigmas[from - k], zeros) -
                      basis_integral(sigmas[from], sigmas[from - k], zeros));
  }
  return weights;
}

// diffusers ends at the level of timestep 0, and repeats the last of Karras sigmas and the like.
SigmaLevels deis_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  SigmaLevels levels = sigma_levels(schedule, options);
  levels.sigmas.back() = schedule.config.sigma_schedule != nullptr
                             ? levels.sigmas[levels.timesteps.size() - 1]
                             : training_sigmas(schedule).front();
  return levels;
}

SamplerTable deis_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SchedulerConfig& config = schedule.config;
  const SigmaLevels levels = deis_levels(schedule, options);
  const size_t count = levels.timesteps.size();
  const bool lower_last = config.lower_order_final && count < 15;
  SamplerTable table;
  for (size_t i = 0; i < count; ++i) {
    size_t order = std::min(static_cast<size_t>(config.solver_order), i + 1);
    if (lower_last) order = std::min(order, count - i);
    const double signal = level_of_sigma(levels.sigmas[i + 1]).signal;
    SamplerCall call{.timestep = levels.timesteps[i]};
    call.estimate = epsilon_from(config.prediction_type, level_of_sigma(levels.sigmas[i]));
    call.from_start = signal / level_of_sigma(levels.sigmas[i]).signal;
    for (const double weight : integrals(levels.sigmas, i, order))
      call.from_estimates.push_back(signal * weight);
    table.calls.push_back(call);
  }
  return table;
}

}  // namespace

extern const Sampler kDeis{.flag = "deis",
                           .label = "DEIS",
                           .diffusers_class = "DEISMultistepScheduler",
                           .config_keys = {"solver_order", "solver_type", "lower_order_final"},
                           .takes_sigma_schedule = true,
                           .integer_timesteps = true,
                           .stochastic = draws_never,
                           .table = deis_table};

}  // namespace diffusion
