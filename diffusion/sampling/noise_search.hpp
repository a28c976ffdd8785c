#pragma once

// Search over a sampler's initial noise: Ma et al., "Inference-time scaling for diffusion models
// beyond scaling denoising steps" (2025), random search and zero-order search.

#include <ATen/core/Tensor.h>

namespace diffusion {

// A neighbour of standard normal noise that is standard normal itself: sqrt(1 - radius^2) pivot +
// radius fresh. radius: [0, 1]; 1: `fresh`, which has nothing of the pivot. Both of one shape.
at::Tensor near_noise(const at::Tensor& pivot, const at::Tensor& fresh, double radius);

}  // namespace diffusion
