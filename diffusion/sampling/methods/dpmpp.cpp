// DPM-Solver++ (Lu et al. 2022b) in its multistep and singlestep forms; and as an SDE.

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {
namespace {

// The exact way from sigma `from` to `to` for a constant x0, and the weights of its changes. With
// h = log(from / to), the gap of half log SNR:
// next = from_start x + alpha (phi1 D0 + phi2 D1 + phi3 D2) + noise z
struct Exponential {
  double h = 0, from_start = 0, alpha = 0, phi1 = 0, phi2 = 0, phi3 = 0, noise = 0;
};

Exponential exponential(
    const NoiseSchedule& schedule, double from, double to, bool sde, bool heun) {
  const NoiseLevel at = level_of_sigma(schedule, from), next = level_of_sigma(schedule, to);
  const double rest = to / from;  // exp(-h)
  const double h = -std::log(rest), width = sde ? 2 * h : h;
  Exponential step{.h = h, .alpha = next.signal};
  step.from_start = next.noise / at.noise * (sde ? rest : 1);
  step.phi1 = 1 - (sde ? rest * rest : rest);
  const double mean = 1 - step.phi1 / width;  // the weight of a slope, exactly
  step.phi2 = heun ? mean : step.phi1 / 2;
  step.phi3 = 0.5 - mean / width;
  step.noise = sde ? next.noise * std::sqrt(step.phi1) : 0;
  return step;
}

// The call's estimate is x0; `weights` are those of e, alpha apart.
SamplerCall call_of(const Exponential& step, std::vector<double> weights) {
  SamplerCall call;
  call.from_start = step.from_start;
  for (double& weight : weights) weight *= step.alpha;
  call.from_estimates = std::move(weights);
  call.from_noise = step.noise;
  return call;
}

void set_input(SamplerCall& call, const NoiseSchedule& schedule, double timestep, double sigma) {
  call.timestep = timestep;
  call.estimate = x0_from(schedule.config.prediction_type, level_of_sigma(schedule, sigma));
}

// D0 = e0; D1, D2: the slope and curvature of e0, e1, e2 that lie r0, r0 + r1 steps back.
std::vector<double> multistep_weights(const Exponential& step,
                                      int64_t order,
                                      double r0,
                                      double r1) {
  if (order == 1) return {step.phi1};
  if (order == 2) return {step.phi1 + step.phi2 / r0, -step.phi2 / r0};
  const double slope = 1 - step.phi1 / step.h;  // phi2 is the midpoint's
  const double near = slope * (1 + r0 / (r0 + r1)) + step.phi3 / (r0 + r1);
  const double far = -slope * r0 / (r0 + r1) - step.phi3 / (r0 + r1);
  return {step.phi1 + near / r0, -near / r0 + far / r1, -far / r1};
}

// D0 = e[order - 1], where the step departs; e0 and e1 lie r0 > r1 of the step after it.
std::vector<double> singlestep_weights(
    const Exponential& step, int64_t order, double r0, double r1, bool heun) {
  if (order == 1) return {step.phi1};
  if (order == 2) return {step.phi2 / r0, step.phi1 - step.phi2 / r0};
  const double slope = 1 - step.phi1 / step.h;
  const double newest = heun ? (-slope * r1 + 2 * step.phi3) / (r0 - r1) : slope;
  const double middle = heun ? (slope * r0 - 2 * step.phi3) / (r0 - r1) : 0;
  return {newest / r0, middle / r1, step.phi1 - newest / r0 - middle / r1};
}

// diffusers' orders of the singlestep form: 1 2 1 2 ..., cut so that they fit.
std::vector<int64_t> singlestep_orders(const SchedulerConfig& config, int64_t steps) {
  const int64_t order = config.solver_order;
  const bool to_zero = config.final_sigmas_type == "zero";
  const bool lower = config.lower_order_final || to_zero || steps % order != 0;
  std::vector<int64_t> orders;
  for (int64_t i = 0; i < steps; ++i) orders.push_back(i % order + 1);
  if (lower && steps % order == 0) {
    orders.back() = 1;  // order 3 ends 1 2 1, order 2 ends 1 1
  }
  if (to_zero) orders.back() = 1;
  return orders;
}

// sigma_levels, but diffusers cuts off the timesteps of Karras sigmas on a cosine schedule.
SigmaLevels multistep_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  SigmaLevels levels = sigma_levels(schedule, options);
  levels.sigmas.back() = final_sigma(schedule);
  const SchedulerConfig& config = schedule.config;
  if (config.sigma_schedule != nullptr && config.beta_schedule == "squaredcos_cap_v2") {
    const auto trained = training_sigmas(schedule);
    for (size_t i = 0; i < levels.timesteps.size(); ++i)
      levels.timesteps[i] = std::floor(timestep_of(levels.sigmas[i], trained));
  }
  return levels;
}

SamplerTable multistep_table(const NoiseSchedule& schedule,
                             const SamplerOptions& options,
                             bool sde) {
  const SchedulerConfig& config = schedule.config;
  const SigmaLevels levels = multistep_levels(schedule, options);
  const size_t count = levels.timesteps.size();
  const bool few = count < 15;
  const bool lower_last = config.euler_at_final || (config.lower_order_final && few) ||
                          config.final_sigmas_type == "zero";
  const auto gap = [&](size_t i) { return std::log(levels.sigmas[i] / levels.sigmas[i + 1]); };
  SamplerTable table;
  for (size_t i = 0; i < count; ++i) {
    int64_t order = std::min(config.solver_order, static_cast<int64_t>(i) + 1);
    if (i + 1 == count && lower_last) order = 1;
    if (i + 2 == count && config.lower_order_final && few) order = std::min<int64_t>(order, 2);
    const Exponential step = exponential(schedule, levels.sigmas[i], levels.sigmas[i + 1], sde,
                                         config.solver_type == "heun");
    const double r0 = order > 1 ? gap(i - 1) / step.h : 0, r1 = order > 2 ? gap(i - 2) / step.h : 0;
    SamplerCall call = call_of(step, multistep_weights(step, order, r0, r1));
    set_input(call, schedule, levels.timesteps[i], levels.sigmas[i]);
    table.calls.push_back(call);
  }
  return table;
}

SamplerTable ode_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  return multistep_table(schedule, options, false);
}

SamplerTable sde_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  if (schedule.config.solver_order > 2) {
    throw data::BadInput("scheduler: solver_order: expected 1 or 2 with DPM++ 2M SDE, found " +
                         std::to_string(schedule.config.solver_order));
  }
  return multistep_table(schedule, options, true);
}

SamplerTable singlestep_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  NoiseSchedule spaced = schedule;
  spaced.config.timestep_spacing = Spacing::kLinspace;  // diffusers' class knows no other
  const SchedulerConfig& config = spaced.config;
  SigmaLevels levels = sigma_levels(spaced, options);
  levels.sigmas.back() = final_sigma(spaced);
  const auto orders = singlestep_orders(config, options.steps);
  const bool heun = config.solver_type == "heun";
  SamplerTable table;
  for (size_t i = 0; i < orders.size(); ++i) {
    const size_t start = i + 1 - static_cast<size_t>(orders[i]);
    const double from = levels.sigmas[start];
    const Exponential step = exponential(spaced, from, levels.sigmas[i + 1], false, heun);
    const auto position = [&](size_t k) { return std::log(from / levels.sigmas[k]) / step.h; };
    const double r0 = position(i), r1 = orders[i] > 2 ? position(i - 1) : 0;
    SamplerCall call = call_of(step, singlestep_weights(step, orders[i], r0, r1, heun));
    set_input(call, schedule, levels.timesteps[i], levels.sigmas[i]);
    call.start_from_x = orders[i] == 1 ? 1 : 0;
    call.start_from_start = 1 - call.start_from_x;
    table.calls.push_back(call);
  }
  return table;
}

void set_singlestep_defaults(SchedulerConfig& config) { config.lower_order_final = false; }

FlowForm flow_form(const char* diffusers_class,
                   SamplerTable (*table)(const NoiseSchedule&, const SamplerOptions&)) {
  return {.diffusers_class = diffusers_class,
          .config_keys = {"flow_shift", "use_dynamic_shifting", "time_shift_type"},
          .table = table};
}
const FlowForm kFlowOde = flow_form("DPMSolverMultistepScheduler", ode_table);
const FlowForm kFlowSde = flow_form("DPMSolverMultistepScheduler", sde_table);
const FlowForm kFlowSinglestep = flow_form("DPMSolverSinglestepScheduler", singlestep_table);

}  // namespace

extern const Sampler kDpmpp2m{
    .flag = "dpm++2m",
    .label = "DPM++ 2M",
    .diffusers_class = "DPMSolverMultistepScheduler",
    .algorithm_type = "dpmsolver++",
    .aliases = {"dpmsolver++"},
    .config_keys = {"solver_order", "solver_type", "lower_order_final", "euler_at_final"},
    .takes_sigma_schedule = true,
    .integer_timesteps = true,
    .stochastic = draws_never,
    .table = ode_table,
    .flow = &kFlowOde};

extern const Sampler kDpmpp2mSde{
    .flag = "dpm++2m_sde",
    .label = "DPM++ 2M SDE",
    .diffusers_class = "DPMSolverMultistepScheduler",
    .algorithm_type = "sde-dpmsolver++",
    .aliases = {"dpm++2msdegpu"},
    .config_keys = {"solver_order", "solver_type", "lower_order_final", "euler_at_final"},
    .takes_sigma_schedule = true,
    .integer_timesteps = true,
    .stochastic = draws_always,
    .table = sde_table,
    .flow = &kFlowSde};

extern const Sampler kDpmpp2s{.flag = "dpm++2s",
                              .label = "DPM++ 2S",
                              .diffusers_class = "DPMSolverSinglestepScheduler",
                              .algorithm_type = "dpmsolver++",
                              .aliases = {"dpmsingle"},
                              .config_keys = {"solver_order", "solver_type", "lower_order_final"},
                              .takes_sigma_schedule = true,
                              .integer_timesteps = true,
                              .stochastic = draws_never,
                              .class_defaults = set_singlestep_defaults,
                              .table = singlestep_table,
                              .flow = &kFlowSinglestep};

}  // namespace diffusion
