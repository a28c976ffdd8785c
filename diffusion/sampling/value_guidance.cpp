#include "diffusion/sampling/value_guidance.hpp"

#include <ATen/ATen.h>

namespace diffusion {
namespace {

constexpr double kLeastSignal = 1e-3;  // below it x0 cannot be told from x

// The length of each row.  x: [B, C, H, W] -> [B, 1, 1, 1]
at::Tensor row_norms(const at::Tensor& x) {
  return x.flatten(1).norm(2, {1}, /*keepdim=*/true).view({-1, 1, 1, 1});
}

}  // namespace

Denoiser value_guided(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const ValueGradient& gradient,
                      double share) {
  return [=](const at::Tensor& x, double timestep) {
    const at::Tensor output = denoiser(x, timestep);
    const NoiseLevel level = level_between(schedule, timestep);
    if (level.signal < kLeastSignal) return output;
    const Prediction prediction = schedule.config.prediction_type;
    const Predicted said = predict(prediction, level, output, x);
    const at::Tensor slope = gradient(said.x0.detach()).to(said.epsilon.dtype());
    const at::Tensor length = row_norms(slope);
    const at::Tensor usable = length.isfinite().logical_and(length > 0);
    const double relative = level.noise / level.signal;
    const double damped = share / (1 + relative * relative);
    const at::Tensor direction = at::where(
        usable, slope / at::where(usable, length, at::ones_like(length)), at::zeros_like(slope));
    const at::Tensor epsilon = said.epsilon - damped * row_norms(said.epsilon) * direction;
    return output_for(prediction, level, x, (x - level.noise * epsilon) / level.signal);
  };
}

}  // namespace diffusion
