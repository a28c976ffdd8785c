#include "data/images/pixel_measures.hpp"

#include <ATen/ATen.h>

namespace data {

at::Tensor luma(const at::Tensor& images) {
  return 0.2126 * images.select(1, 0) + 0.7152 * images.select(1, 1) + 0.0722 * images.select(1, 2);
}

at::Tensor contrast(const at::Tensor& images) {
  return luma(images).flatten(1).std(1, /*unbiased=*/false);
}

at::Tensor saturation(const at::Tensor& images) {
  return (images.amax(1) - images.amin(1)).mean({1, 2});
}

at::Tensor filtered(const at::Tensor& x, const double (&weights)[9]) {
  at::Tensor sum;
  for (int64_t i = 0; i < 9; ++i) {
    if (weights[i] == 0) continue;
    const int64_t row = i / 3, column = i % 3;
    const at::Tensor part =
        weights[i] * x.slice(1, row, x.size(1) - 2 + row).slice(2, column, x.size(2) - 2 + column);
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

at::Tensor laplacian_energy(const at::Tensor& images) {
  const at::Tensor x = luma(images);
  if (x.size(1) < 3 || x.size(2) < 3) return at::zeros({x.size(0)}, x.options());
  return filtered(x, {0, 1, 0, 1, -4, 1, 0, 1, 0}).square().mean({1, 2});
}

}  // namespace data
