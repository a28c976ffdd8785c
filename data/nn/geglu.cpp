#include "data/nn/geglu.hpp"

#include <ATen/ATen.h>

#include "data/nn/kernels/kernels.hpp"
#include "data/nn/layers.hpp"

namespace nn {

at::Tensor geglu(const at::Tensor& both) {
  if (const auto* library = kernels::library_for(both)) return kernels::geglu(*library, both);
  const auto halves = both.chunk(2, -1);
  return times(at::gelu(halves[1]), halves[0]);
}

}  // namespace nn
