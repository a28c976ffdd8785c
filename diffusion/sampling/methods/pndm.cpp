// PNDM, Liu et al. 2022: Adams-Bashforth on the network's outputs, DDIM's transfer between levels.

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/sampler.hpp"

namespace diffusion {
namespace {

// Appends to a table; `weights` are those of the outputs, newest first.
struct Pndm {
  const NoiseSchedule& schedule;
  SamplerTable table{};
  std::vector<size_t> kept{};  // calls whose outputs the multistep formula uses

  double bar_at(int64_t timestep) const {
    if (timestep >= 0) return schedule.alphas_cumprod[static_cast<size_t>(timestep)];
    return schedule.config.set_alpha_to_one ? 1 : schedule.alphas_cumprod[0];
  }

  // A call at `timestep`, then from level `from` to level `to`, eq. 11.
  void add(int64_t timestep, int64_t from, int64_t to, const std::vector<double>& weights) {
    const double a = bar_at(from), b = bar_at(to);
    if (a == 0) {
      throw data::BadInput(
          "steps: PNDM cannot begin at zero signal (rescale_betas_zero_snr); take "
          "another sampling method or leading spacing");
    }
    const OutputTransform epsilon =
        epsilon_from(schedule.config.prediction_type, level_of_alpha_bar(a));
    const double change = (b - a) / (a * std::sqrt(1 - b) + std::sqrt(a * (1 - a) * b));
    SamplerCall call{.timestep = static_cast<double>(timestep)};
    call.from_start = std::sqrt(b / a) - change * epsilon.from_x;
    for (const double w : weights) call.from_estimates.push_back(-change * epsilon.from_output * w);
    table.calls.push_back(call);
  }

  void depart_as_before() {
    table.calls.back().start_from_x = 0;
    table.calls.back().start_from_start = 1;
  }

  // Adams-Bashforth, eq. 12, of up to four kept outputs, the next call's among them.
  std::vector<double> multistep_weights() {
    static const std::vector<std::vector<double>> kOrders = {
        {1},
        {3.0 / 2, -1.0 / 2},
        {23.0 / 12, -16.0 / 12, 5.0 / 12},
        {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
    const size_t now = table.calls.size();
    kept.push_back(now);
    const auto& order = kOrders[std::min<size_t>(kept.size(), 4) - 1];
    std::vector<double> weights(now - kept[kept.size() - order.size()] + 1, 0.0);
    for (size_t i = 0; i < order.size(); ++i) weights[now - kept[kept.size() - 1 - i]] = order[i];
    return weights;
  }

  // One step by Runge-Kutta of fourth order, eq. 13, four calls.
  void runge_kutta(int64_t from, int64_t to, int64_t half) {
    kept.push_back(table.calls.size());
    add(from, from, from - half, {1});
    for (const int64_t end : {to + half, to}) {
      add(to + half, from, end, {1});
      depart_as_before();
    }
    add(to, from, to, {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6});
    depart_as_before();
  }
};

SamplerTable pndm_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const auto timesteps = inference_timesteps(schedule.config, options.steps);
  const int64_t stride = schedule.config.num_train_timesteps / options.steps;
  Pndm pndm{.schedule = schedule};
  size_t first = 0;
  if (!schedule.config.skip_prk_steps) {
    if (options.steps < 4) {
      throw data::BadInput(
          "steps: expected 4 or more with PNDM's Runge-Kutta warm-up "
          "(skip_prk_steps: false), found " +
          std::to_string(options.steps));
    }
    for (; first < 3; ++first) pndm.runge_kutta(timesteps[first], timesteps[first + 1], stride / 2);
  }
  for (size_t i = first; i < timesteps.size(); ++i) {
    const int64_t t = timesteps[i];
    if (i == 1) {  // the first step again, with the mean of the outputs at its two ends
      pndm.add(t, t + stride, t, {0.5, 0.5});
      pndm.depart_as_before();
    }
    pndm.add(t, t, t - stride, pndm.multistep_weights());
  }
  return pndm.table;
}

void set_pndm_defaults(SchedulerConfig& config) { config.skip_prk_steps = false; }

}  // namespace

extern const Sampler kPndm{.flag = "pndm",
                           .label = "PLMS",
                           .diffusers_class = "PNDMScheduler",
                           .config_keys = {"skip_prk_steps"},
                           .stochastic = draws_never,
                           .class_defaults = set_pndm_defaults,
                           .table = pndm_table};

}  // namespace diffusion
