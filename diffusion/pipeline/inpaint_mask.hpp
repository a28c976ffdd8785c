#pragma once

// Inpainting: the masked part of an image is redrawn, the rest stays as it is.

#include <ATen/core/Tensor.h>

#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

struct InpaintMask {
  at::Tensor change;   // [B, 1, h, w] 1: redrawn, 0: kept; values between blend
  at::Tensor latents;  // [B, C, h, w] of the source images, unit variance
};
// In the kept part the prediction is replaced by the one that leads back to the source image.
Denoiser masked_denoiser(const Denoiser& denoiser,
                         const NoiseSchedule& schedule,
                         const InpaintMask& kept);

}  // namespace diffusion
