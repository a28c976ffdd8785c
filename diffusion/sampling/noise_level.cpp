#include "diffusion/sampling/noise_level.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace diffusion {
namespace {

// x0 and epsilon of an output at x. Level: double, or a tensor of a batch's levels. Value: a
// tensor, or double for the coefficients of one.
template <class Level, class Value>
Value x0_of(Prediction prediction,
            const Level& signal,
            const Level& noise,
            const Value& output,
            const Value& x) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return (x - noise * output) / signal;
    case Prediction::kV:
      return signal * x - noise * output;
    case Prediction::kSample:
      return output;
    case Prediction::kFlow:
      return x - noise * output;
  }
  TORCH_CHECK(false, "x0_of: unknown prediction");
}

template <class Level, class Value>
Value epsilon_of(Prediction prediction,
                 const Level& signal,
                 const Level& noise,
                 const Value& output,
                 const Value& x) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return output;
    case Prediction::kV:
      return signal * output + noise * x;
    case Prediction::kSample:
      return (x - signal * output) / noise;
    case Prediction::kFlow:
      return x + signal * output;
  }
  TORCH_CHECK(false, "epsilon_of: unknown prediction");
}

}  // namespace

NoiseLevel level_of_alpha_bar(double alpha_bar) {
  return {.signal = std::sqrt(alpha_bar), .noise = std::sqrt(1 - alpha_bar)};
}

NoiseLevel level_of_sigma(double sigma) {
  const double signal = 1 / std::sqrt(sigma * sigma + 1);
  return {.signal = signal, .noise = sigma * signal};
}

NoiseLevel flow_level(double t) { return {.signal = 1 - t, .noise = t}; }

at::Tensor add_noise(const NoiseLevel& level, const at::Tensor& x0, const at::Tensor& epsilon) {
  return level.signal * x0 + level.noise * epsilon;
}

at::Tensor add_noise(const NoiseLevels& levels, const at::Tensor& x0, const at::Tensor& epsilon) {
  const auto type = x0.scalar_type();
  return levels.signal.to(type) * x0 + levels.noise.to(type) * epsilon;
}

Predicted predict(Prediction prediction,
                  const NoiseLevel& level,
                  const at::Tensor& output,
                  const at::Tensor& x) {
  const at::Tensor wide = output.to(x.scalar_type());
  return {.x0 = x0_of(prediction, level.signal, level.noise, wide, x),
          .epsilon = epsilon_of(prediction, level.signal, level.noise, wide, x)};
}

Predicted predict(Prediction prediction,
                  const NoiseLevels& levels,
                  const at::Tensor& output,
                  const at::Tensor& x) {
  const auto type = x.scalar_type();
  const at::Tensor signal = levels.signal.to(type), noise = levels.noise.to(type),
                   wide = output.to(type);
  return {.x0 = x0_of(prediction, signal, noise, wide, x),
          .epsilon = epsilon_of(prediction, signal, noise, wide, x)};
}

OutputTransform x0_from(Prediction prediction, const NoiseLevel& level) {
  return {.from_x = x0_of(prediction, level.signal, level.noise, 0.0, 1.0),
          .from_output = x0_of(prediction, level.signal, level.noise, 1.0, 0.0)};
}

OutputTransform epsilon_from(Prediction prediction, const NoiseLevel& level) {
  return {.from_x = epsilon_of(prediction, level.signal, level.noise, 0.0, 1.0),
          .from_output = epsilon_of(prediction, level.signal, level.noise, 1.0, 0.0)};
}

at::Tensor output_for(Prediction prediction,
                      const NoiseLevel& level,
                      const at::Tensor& x,
                      const at::Tensor& x0) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return (x - level.signal * x0) / level.noise;
    case Prediction::kV:
      return (level.signal * x - x0) / level.noise;
    case Prediction::kSample:
      return x0;
    case Prediction::kFlow:
      return (x - x0) / level.noise;
  }
  TORCH_CHECK(false, "output_for: unknown prediction");
}

at::Tensor training_target(Prediction prediction,
                           const NoiseLevels& levels,
                           const at::Tensor& x0,
                           const at::Tensor& epsilon) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return epsilon;
    case Prediction::kV:
      return levels.signal * epsilon - levels.noise * x0;
    case Prediction::kSample:
      return x0;
    case Prediction::kFlow:
      return epsilon - x0;
  }
  TORCH_CHECK(false, "training_target: unknown prediction");
}

}  // namespace diffusion
