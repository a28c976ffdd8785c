#include "diffusion/networks/layers/embedding.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace diffusion {

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

at::Tensor guidance_embedding(const at::Tensor& w, int64_t width) {
  return timestep_embedding(w.to(at::kFloat) * 1000.0, width, /*flip_sin_to_cos=*/false,
                            /*freq_shift=*/1.0);
}

at::Tensor embedding_mlp(const nn::Linear& first, const nn::Linear& second, const at::Tensor& x) {
  return nn::linear(second, at::silu(nn::linear(first, x)));
}

}  // namespace diffusion
