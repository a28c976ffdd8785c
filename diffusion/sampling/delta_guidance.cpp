#include "diffusion/sampling/delta_guidance.hpp"

#include <ATen/ATen.h>

namespace diffusion {
namespace {

// What `output` of one prediction says, as the output of another.
at::Tensor converted(const at::Tensor& output,
                     Prediction own,
                     Prediction wanted,
                     const NoiseLevel& level,
                     const at::Tensor& x) {
  if (own == wanted) return output;
  return output_for(wanted, level, x, predict(own, level, output, x).x0);
}

}  // namespace

Denoiser delta_guided(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const std::vector<NetworkDelta>& deltas) {
  return [=](const at::Tensor& x, double timestep) {
    const Prediction wanted = schedule.config.prediction_type;
    const NoiseLevel level = level_between(schedule, timestep);
    at::Tensor output = denoiser(x, timestep);
    for (const NetworkDelta& delta : deltas) {
      if (timestep < delta.least || timestep > delta.most) continue;
      const auto said = [&](const Denoiser& network) {
        return converted(network(x, timestep), delta.prediction, wanted, level, x);
      };
      output = output + delta.strength * (said(delta.tuned) - said(delta.reference));
    }
    return output;
  };
}

}  // namespace diffusion
