#include "data/nn/timestep_embedding.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace nn {

at::Tensor timestep_embedding(const at::Tensor& t,
                              int64_t width,
                              bool flip_sin_to_cos,
                              double freq_shift,
                              double max_period) {
  const int64_t half = width / 2;
  const at::Tensor k = at::arange(half, t.options().dtype(at::kFloat));
  const at::Tensor rates =
      at::exp(k * (-std::log(max_period)) / (static_cast<double>(half) - freq_shift));
  const at::Tensor angles = t.to(at::kFloat).unsqueeze(1) * rates.unsqueeze(0);  // [B, half]
  return flip_sin_to_cos ? at::cat({angles.cos(), angles.sin()}, 1)
                         : at::cat({angles.sin(), angles.cos()}, 1);
}

}  // namespace nn
