#pragma once

// A part of the image that stays as it was.

#include <ATen/core/Tensor.h>

#include "diffusion/sampling/sampler.hpp"

namespace diffusion {

struct InpaintMask {
  at::Tensor change;   // [B, 1, h, w] 1: drawn freely, 0: kept, and between
  at::Tensor latents;  // [B, C, h, w] of the source images, unit variance
};
// Where the image is kept, the network says what leads to the source: every method ends there.
Denoiser masked_denoiser(const Denoiser& denoiser,
                         const NoiseSchedule& schedule,
                         const InpaintMask& kept);

}  // namespace diffusion
