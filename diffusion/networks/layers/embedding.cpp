#include "diffusion/networks/layers/embedding.hpp"

#include <ATen/ATen.h>

#include "data/nn/timestep_embedding.hpp"

namespace diffusion {

at::Tensor timestep_embedding(const at::Tensor& t,
                              int64_t width,
                              bool flip_sin_to_cos,
                              double freq_shift,
                              double max_period) {
  return nn::timestep_embedding(t, width, flip_sin_to_cos, freq_shift, max_period);
}

at::Tensor guidance_embedding(const at::Tensor& w, int64_t width) {
  return timestep_embedding(w.to(at::kFloat) * 1000.0, width, /*flip_sin_to_cos=*/false,
                            /*freq_shift=*/1.0);
}

at::Tensor embedding_mlp(const nn::Linear& first, const nn::Linear& second, const at::Tensor& x) {
  return nn::linear(second, at::silu(nn::linear(first, x)));
}

}  // namespace diffusion
