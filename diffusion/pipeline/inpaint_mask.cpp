#include "diffusion/pipeline/inpaint_mask.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace diffusion {
namespace {

// What the network must say at x for x0 to come out: the inverse of `predict`.
at::Tensor output_for(Prediction prediction,
                      double alpha_bar,
                      const at::Tensor& x,
                      const at::Tensor& x0) {
  const double signal = std::sqrt(alpha_bar), spread = std::sqrt(1 - alpha_bar);
  if (prediction == Prediction::kSample) return x0;
  if (prediction == Prediction::kEpsilon) return (x - signal * x0) / spread;
  return (signal * x - x0) / spread;
}

}  // namespace

Denoiser masked_denoiser(const Denoiser& denoiser,
                         const NoiseSchedule& schedule,
                         const InpaintMask& kept) {
  return [=](const at::Tensor& x, double timestep) {
    const at::Tensor wanted = output_for(schedule.config.prediction_type,
                                         alpha_bar_between(schedule, timestep), x, kept.latents);
    return kept.change * denoiser(x, timestep) + (1 - kept.change) * wanted;
  };
}

}  // namespace diffusion
