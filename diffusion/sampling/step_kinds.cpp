#include "diffusion/sampling/step_kinds.hpp"

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/flow_levels.hpp"

namespace diffusion {
namespace {

// The Euler-Maruyama step of dx = (v + g^2 / (2 t) epsilon) dt + g dw, whose marginals are those of
// dx = v dt (Liu et al. 2025, "Flow-GRPO", section 4.2): sigma is g sqrt(h), h the step, and
// epsilon loses g^2 h / (2 t).
void set_sde(const FlowInterval& times, double diffusion, StepCoefficients& step) {
  step.sigma = diffusion * std::sqrt(times.here - times.there);
  step.from_epsilon = times.there - step.sigma * step.sigma / (2 * times.here);
}

// g = a sqrt(t / (1 - t)), which is infinite at t = 1: 1 - t is that of the second time there, as
// in the authors' code.
void flow_sde_noise(const FlowInterval& times, double amount, StepCoefficients& step) {
  const double signal = 1 - (times.here >= 1 ? times.second : times.here);
  set_sde(times, amount * std::sqrt(times.here / signal), step);
}

// Xue et al. 2025, "DanceGRPO": g is constant.
void dance_noise(const FlowInterval& times, double amount, StepCoefficients& step) {
  set_sde(times, amount, step);
}

// Wang and Yu 2025, "Coefficients-Preserving Sampling", for flow matching: the next level's noise
// is divided between what the network says and what is drawn.
void preserving_noise(const FlowInterval& times, double amount, StepCoefficients& step) {
  step.sigma = times.there * std::sin(amount * M_PI / 2);
  step.from_epsilon = times.there * std::cos(amount * M_PI / 2);
}

}  // namespace

const std::vector<StepKind>& step_kinds() {
  static const std::vector<StepKind> kinds = {
      {"ddim", "the posterior of DDIM and DDPM", 1.0, nullptr},
      {"flow_sde", "Flow-GRPO's SDE", 0.7, flow_sde_noise},
      {"dance_sde", "DanceGRPO's SDE", 0.3, dance_noise},
      {"cps", "coefficients-preserving sampling", 0.8, preserving_noise}};
  return kinds;
}

std::vector<std::string> step_kind_names() {
  std::vector<std::string> names;
  for (const StepKind& kind : step_kinds()) names.push_back(kind.name);
  return names;
}

const StepKind& step_kind_of(const std::string& name, const std::string& where) {
  std::string known;
  for (const StepKind& kind : step_kinds()) {
    if (name == kind.name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw data::BadInput(where + ": expected one of " + known + ", found '" + name + "'");
}

std::vector<StepCoefficients> chain_steps(const NoiseSchedule& schedule,
                                          int64_t num_inference_steps,
                                          const StepKind& kind,
                                          double amount,
                                          double sigma_min) {
  if (kind.noise == nullptr) return ddim_steps(schedule, num_inference_steps, amount, sigma_min);
  if (!schedule.config.flow) {
    throw data::BadInput(std::string("step_kind: expected ddim with ") +
                         schedule.config.class_name + ", found " + kind.name +
                         ", which needs a scheduler of flow matching");
  }
  // The levels and timesteps, and what no noise leaves.
  auto steps = ddim_steps(schedule, num_inference_steps, 0, 0);
  const double second = steps.front().there.noise;
  for (StepCoefficients& step : steps) {
    kind.noise({.here = step.here.noise, .there = step.there.noise, .second = second}, amount,
               step);
    step.sigma = std::max(step.sigma, sigma_min);
    step.kappa = step.there.signal * x0_from(Prediction::kFlow, step.here).from_output +
                 step.from_epsilon * epsilon_from(Prediction::kFlow, step.here).from_output;
  }
  return steps;
}

}  // namespace diffusion
