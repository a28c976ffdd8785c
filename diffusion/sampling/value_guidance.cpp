#include "diffusion/sampling/value_guidance.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace diffusion {
namespace {

constexpr double kLeastSignal = 1e-3;  // below it x0 cannot be told from x

// The length of each row.  x: [B, C, H, W] -> [B, 1, 1, 1]
at::Tensor row_norms(const at::Tensor& x) {
  return x.flatten(1).norm(2, {1}, /*keepdim=*/true).view({-1, 1, 1, 1});
}

// Rows of length 1; zeros where there is no direction.
at::Tensor directions(const at::Tensor& slope) {
  const at::Tensor length = row_norms(slope);
  const at::Tensor usable = length.isfinite().logical_and(length > 0);
  return at::where(usable, slope / at::where(usable, length, at::ones_like(length)),
                   at::zeros_like(slope));
}

// A network's output at x, and the direction in which the value grows there. All [B, C, H, W]
struct Sloped {
  at::Tensor output, slope;
};

Sloped slope_at_x0(const at::Tensor& output,
                   Prediction prediction,
                   const NoiseLevel& level,
                   const at::Tensor& x,
                   const ValueGradient& gradient) {
  return {output, gradient(predict(prediction, level, output, x).x0.detach())};
}

// The gradient by the chain rule: x0's, times d x0 / d x.
Sloped slope_at_x(const Denoiser& denoiser,
                  Prediction prediction,
                  const NoiseLevel& level,
                  const at::Tensor& x,
                  double timestep,
                  const ValueGradient& gradient) {
  const at::AutoGradMode with_gradient(true);
  const at::Tensor leaf = x.detach().clone().requires_grad_(true);
  const at::Tensor output = denoiser(leaf, timestep);
  const at::Tensor x0 = predict(prediction, level, output, leaf).x0;
  x0.backward(gradient(x0.detach()).to(x0.scalar_type()));
  return {output.detach(), leaf.grad()};
}

}  // namespace

Denoiser value_guided(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const ValueGradient& gradient,
                      const ValueGuidance& options) {
  return [=](const at::Tensor& x, double timestep) {
    const NoiseLevel level = level_between(schedule, timestep);
    if (level.signal < kLeastSignal) return denoiser(x, timestep);
    const Prediction prediction = schedule.config.prediction_type;
    const Sloped found = options.jacobian
                             ? slope_at_x(denoiser, prediction, level, x, timestep, gradient)
                             : slope_at_x0(denoiser(x, timestep), prediction, level, x, gradient);
    const at::Tensor epsilon = predict(prediction, level, found.output, x).epsilon;
    const double relative = level.noise / level.signal;
    const double damped = options.share / (1 + relative * relative);
    const at::Tensor moved =
        epsilon - damped * row_norms(epsilon) * directions(found.slope.to(epsilon.dtype()));
    return output_for(prediction, level, x, (x - level.noise * moved) / level.signal);
  };
}

}  // namespace diffusion
