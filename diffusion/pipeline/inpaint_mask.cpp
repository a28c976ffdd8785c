#include "diffusion/pipeline/inpaint_mask.hpp"

#include <ATen/ATen.h>

namespace diffusion {
Denoiser masked_denoiser(const Denoiser& denoiser,
                         const NoiseSchedule& schedule,
                         const InpaintMask& kept) {
  return [=](const at::Tensor& x, double timestep) {
    const at::Tensor wanted = output_for(schedule.config.prediction_type,
                                         level_between(schedule, timestep), x, kept.latents);
    return kept.change * denoiser(x, timestep) + (1 - kept.change) * wanted;
  };
}

}  // namespace diffusion
