#pragma once

// How a network turns a number into a vector.

#include <ATen/core/Tensor.h>

#include "data/nn/layers.hpp"

namespace diffusion {

// Sinusoids of t (Vaswani et al. 2017, 3.5) with diffusers' flip_sin_to_cos and freq_shift. t: [B]
// -> [B, width]
at::Tensor timestep_embedding(const at::Tensor& t,
                              int64_t width,
                              bool flip_sin_to_cos,
                              double freq_shift,
                              double max_period = 10000.0);

// LCM's embedding of a guidance scale w (Luo et al. 2023, 4.2, after Kingma et al. 2021): sinusoids
// of 1000 w. diffusers gives it w = guidance_scale - 1. w: [B] -> [B, width]
at::Tensor guidance_embedding(const at::Tensor& w, int64_t width);

// diffusers' TimestepEmbedding: second(silu(first(x))). x: [B, in] -> [B, out]
at::Tensor embedding_mlp(const nn::Linear& first, const nn::Linear& second, const at::Tensor& x);

}  // namespace diffusion
