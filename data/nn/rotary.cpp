#include "data/nn/rotary.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/shape.hpp"

namespace nn {

RotaryTable rotary_table(const at::Tensor& places, const std::vector<int64_t>& widths) {
  const auto axes = static_cast<int64_t>(widths.size());
  data::check_shape(places, {-1, axes}, "rotary_table: places");
  std::vector<at::Tensor> angles;
  for (int64_t axis = 0; axis < axes; ++axis) {
    const int64_t width = widths[static_cast<size_t>(axis)];
    TORCH_CHECK(width % 2 == 0, "rotary_table: expected even widths, got ", width);
    const at::Tensor exponents =
        at::arange(0, width, 2, places.options().dtype(at::kDouble)) / static_cast<double>(width);
    angles.push_back(places.select(1, axis).to(at::kDouble).unsqueeze(1) /
                     at::pow(10000.0, exponents));
  }
  const at::Tensor all = at::cat(angles, 1);
  return {all.cos().to(at::kFloat), all.sin().to(at::kFloat)};
}

at::Tensor rotate(const RotaryTable& table, const at::Tensor& x) {
  if (!table.cos.defined()) return x;
  data::check_shape(x, {-1, table.cos.size(0), -1, 2 * table.cos.size(1)}, "rotate: x");
  const auto type = at::promote_types(x.scalar_type(), at::kFloat);
  const auto pairs = x.to(type).unflatten(3, {-1, 2}).unbind(4);  // [B, L, heads, C / 2] each
  const at::Tensor cos = table.cos.unsqueeze(1), sin = table.sin.unsqueeze(1);
  return at::stack({pairs[0] * cos - pairs[1] * sin, pairs[1] * cos + pairs[0] * sin}, 4)
      .flatten(3)
      .to(x.scalar_type());
}

}  // namespace nn
