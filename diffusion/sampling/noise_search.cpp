#include "diffusion/sampling/noise_search.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace diffusion {

at::Tensor near_noise(const at::Tensor& pivot, const at::Tensor& fresh, double radius) {
  TORCH_CHECK(radius >= 0 && radius <= 1, "near_noise: radius must be in [0, 1], got ", radius);
  TORCH_CHECK(pivot.sizes() == fresh.sizes(), "near_noise: pivot is ", pivot.sizes(), ", fresh ",
              fresh.sizes());
  if (radius == 1) return fresh;
  return std::sqrt(1 - radius * radius) * pivot + radius * fresh;
}

}  // namespace diffusion
