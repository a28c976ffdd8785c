#pragma once

// How a network turns a number into a vector.

#include <ATen/core/Tensor.h>

namespace nn {

// Sinusoids of t (Vaswani et al. 2017, 3.5) with diffusers' flip_sin_to_cos and freq_shift. t: [B]
// -> [B, width]
at::Tensor timestep_embedding(const at::Tensor& t,
                              int64_t width,
                              bool flip_sin_to_cos,
                              double freq_shift,
                              double max_period = 10000.0);

}  // namespace nn
