#include "diffusion/sampling/gaussian_step.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/shape.hpp"
#include "diffusion/sampling/flow_levels.hpp"

namespace diffusion {
namespace {

// The weight of epsilon in the mean: what sigma leaves of the variance of the next level's noise; 0
// where a floor of sigma asks for more than there is.
double weight_of_epsilon(double next_variance, double sigma) {
  return std::sqrt(std::max(next_variance - sigma * sigma, 0.0));
}

// step_between on a variance-preserving path, from abar = a to b. It is rounded as Song et al.
// write it, in abar, so that runs keep their bits.
StepCoefficients step_of_alpha_bars(double a, double b, double eta, double sigma_min) {
  const double sigma =
      std::max(eta * std::sqrt(std::max((1 - b) / (1 - a) * (1 - a / b), 0.0)), sigma_min);
  const double from_epsilon = weight_of_epsilon(1 - b, sigma);
  return {.here = level_of_alpha_bar(a),
          .there = level_of_alpha_bar(b),
          .sigma = sigma,
          .from_epsilon = from_epsilon,
          .kappa = -std::sqrt(b * (1 - a) / a) + from_epsilon};
}

at::Tensor mean_of(const StepCoefficients& c,
                   Prediction prediction,
                   const at::Tensor& model_output,
                   const at::Tensor& x) {
  data::check_shape(x, {-1, -1, -1, -1}, "ddim step: x");
  TORCH_CHECK(model_output.sizes() == x.sizes(), "ddim step: model_output is ",
              data::shape_text(model_output.sizes()), ", x is ", data::shape_text(x.sizes()));
  const Predicted predicted = predict(prediction, c.here, model_output, x);
  return c.there.signal * predicted.x0 + c.from_epsilon * predicted.epsilon;
}

// x: [B, ...] -> [B] fp64
at::Tensor sum_per_sample(const at::Tensor& x) { return x.flatten(1).sum(1, false, at::kDouble); }

GaussianStep step_to(const StepCoefficients& c, const at::Tensor& mean, const at::Tensor& next) {
  if (c.sigma == 0) return {.mean = mean, .next = next, .log_prob = {}};
  const auto dimensions = static_cast<double>(mean[0].numel());
  const double log_norm = dimensions * (std::log(c.sigma) + 0.5 * std::log(2 * M_PI));
  const at::Tensor squares = sum_per_sample((next - mean).square());  // [B]
  return {.mean = mean, .next = next, .log_prob = squares / (-2 * c.sigma * c.sigma) - log_norm};
}

void check_ranges(double eta, double sigma_min) {
  TORCH_CHECK(eta >= 0 && eta <= 1, "ddim_steps: eta must be in [0, 1], got ", eta);
  TORCH_CHECK(sigma_min >= 0, "ddim_steps: sigma_min must be >= 0, got ", sigma_min);
}

// The steps of a chain on flow matching's levels.
std::vector<StepCoefficients> flow_steps(const NoiseSchedule& schedule,
                                         int64_t num_inference_steps,
                                         double eta,
                                         double sigma_min) {
  const FlowTimes times = flow_match_times(schedule, num_inference_steps);
  std::vector<StepCoefficients> steps;
  for (size_t i = 0; i < times.timesteps.size(); ++i) {
    steps.push_back(step_between(flow_level(times.t[i]), flow_level(times.t[i + 1]),
                                 Prediction::kFlow, eta, sigma_min));
    steps.back().timestep = times.timesteps[i];
    steps.back().previous = i + 1 < times.timesteps.size() ? times.timesteps[i + 1] : 0;
  }
  return steps;
}

}  // namespace

StepCoefficients step_between(const NoiseLevel& here,
                              const NoiseLevel& there,
                              Prediction prediction,
                              double eta,
                              double sigma_min) {
  check_ranges(eta, sigma_min);
  // The variance of q(next | x, x0): there.noise^2 (1 - (here.signal there.noise / (there.signal
  // here.noise))^2).
  const double ratio = here.signal * there.noise / (there.signal * here.noise);
  const double posterior = there.noise * std::sqrt(std::max(1 - ratio * ratio, 0.0));
  const double sigma = std::max(eta * posterior, sigma_min);
  const double from_epsilon = weight_of_epsilon(there.noise * there.noise, sigma);
  return {.here = here,
          .there = there,
          .sigma = sigma,
          .from_epsilon = from_epsilon,
          .kappa = there.signal * x0_from(prediction, here).from_output +
                   from_epsilon * epsilon_from(prediction, here).from_output};
}

std::vector<StepCoefficients> ddim_steps(const NoiseSchedule& schedule,
                                         int64_t num_inference_steps,
                                         double eta,
                                         double sigma_min) {
  check_ranges(eta, sigma_min);
  if (schedule.config.flow) return flow_steps(schedule, num_inference_steps, eta, sigma_min);
  const auto timesteps = inference_timesteps(schedule.config, num_inference_steps);
  const int64_t stride = schedule.config.num_train_timesteps / num_inference_steps;
  const auto& bars = schedule.alphas_cumprod;
  std::vector<StepCoefficients> steps;
  for (const int64_t timestep : timesteps) {
    int64_t previous = timestep - stride;
    if (previous < 0) previous = schedule.config.set_alpha_to_one ? -1 : 0;
    const double bar_previous = previous < 0 ? 1.0 : bars[static_cast<size_t>(previous)];
    steps.push_back(
        step_of_alpha_bars(bars[static_cast<size_t>(timestep)], bar_previous, eta, sigma_min));
    steps.back().timestep = static_cast<double>(timestep);
    steps.back().previous = static_cast<double>(previous);
  }
  return steps;
}

GaussianStep ddim_sample(const StepCoefficients& coefficients,
                         Prediction prediction,
                         const at::Tensor& model_output,
                         const at::Tensor& x,
                         const at::Tensor& noise) {
  const at::Tensor mean = mean_of(coefficients, prediction, model_output, x);
  return step_to(coefficients, mean,
                 coefficients.sigma == 0 ? mean : mean + coefficients.sigma * noise);
}

GaussianStep ddim_log_prob(const StepCoefficients& coefficients,
                           Prediction prediction,
                           const at::Tensor& model_output,
                           const at::Tensor& x,
                           const at::Tensor& next) {
  TORCH_CHECK(next.sizes() == x.sizes(), "ddim_log_prob: next is ", data::shape_text(next.sizes()),
              ", x is ", data::shape_text(x.sizes()));
  return step_to(coefficients, mean_of(coefficients, prediction, model_output, x), next);
}

at::Tensor log_ratio(const at::Tensor& mean_a,
                     const at::Tensor& mean_b,
                     const at::Tensor& next,
                     double sigma) {
  TORCH_CHECK(sigma > 0, "log_ratio: sigma must be > 0, got ", sigma);
  const at::Tensor both = (next - mean_a) + (next - mean_b);  // differences of near numbers: exact
  return sum_per_sample((mean_a - mean_b) * both) / (2 * sigma * sigma);
}

at::Tensor step_kl(const at::Tensor& mean_a, const at::Tensor& mean_b, double sigma) {
  TORCH_CHECK(sigma > 0, "step_kl: sigma must be > 0, got ", sigma);
  return sum_per_sample((mean_a - mean_b).square()) / (2 * sigma * sigma);
}

}  // namespace diffusion
