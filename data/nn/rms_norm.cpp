#include "data/nn/rms_norm.hpp"

#include <ATen/ATen.h>

namespace nn {

at::Tensor rms_norm(const Norm& w, const at::Tensor& x, double eps) {
  const at::Tensor wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  const at::Tensor scale = (wide.square().mean(-1, /*keepdim=*/true) + eps).rsqrt();
  return ((wide * scale) * w.weight).to(x.scalar_type());
}

}  // namespace nn
