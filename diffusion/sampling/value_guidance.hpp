#pragma once

// Guidance by the gradient of a value of the image, a reward: Bansal et al., "Universal guidance
// for diffusion models" (2023), and Yu et al., "FreeDoM" (2023).

#include <functional>

#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

// d value / d x0, of each row of x0: [B, C, H, W] -> [B, C, H, W]
using ValueGradient = std::function<at::Tensor(const at::Tensor& x0)>;

struct ValueGuidance {
  double share = 0.1;     // of epsilon's length, >= 0
  bool jacobian = false;  // through the network; else d x0 / d x is taken as 1 / signal
};

// Moves epsilon against the value's gradient at the x0 that the output says. The length of the move
// is `share` of epsilon's, times 1 / (1 + noise^2 / signal^2): the x0 of a noisy state says little
// of the end, and its gradient pulls too far. A row whose gradient is zero or not finite stays as
// it is. With the Jacobian the denoiser must be differentiable.
Denoiser value_guided(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const ValueGradient& gradient,
                      const ValueGuidance& options);

}  // namespace diffusion
