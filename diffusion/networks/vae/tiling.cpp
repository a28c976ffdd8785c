#include "diffusion/networks/vae/tiling.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace diffusion {

at::Tensor blend_tiles(const at::Tensor& a, const at::Tensor& b, int64_t dim, int64_t extent) {
  TORCH_CHECK(dim == 2 || dim == 3, "blend_tiles: dim: expected 2 or 3, found ", dim);
  TORCH_CHECK(a.size(5 - dim) == b.size(5 - dim), "blend_tiles: tiles of different sides, ",
              a.size(5 - dim), " and ", b.size(5 - dim));
  extent = std::min({extent, a.size(dim), b.size(dim)});
  if (extent <= 0) return b;
  std::vector<int64_t> shape{1, 1, 1, 1};
  shape[static_cast<size_t>(dim)] = extent;
  const at::Tensor weight = (at::arange(extent, b.options()) / extent).view(shape);
  const at::Tensor faded = a.narrow(dim, a.size(dim) - extent, extent) * (1 - weight) +
                           b.narrow(dim, 0, extent) * weight;
  return at::cat({faded, b.narrow(dim, extent, b.size(dim) - extent)}, dim);
}

at::Tensor code_in_tiles(const std::function<at::Tensor(const at::Tensor&)>& code,
                         const at::Tensor& x,
                         TileSides sides) {
  TORCH_CHECK(sides.in >= 4 && sides.in % 4 == 0 && sides.out >= 4 && sides.out % 4 == 0,
              "code_in_tiles: sides: expected multiples of 4, found ", sides.in, " and ",
              sides.out);
  const int64_t stride = sides.in / 4 * 3, extent = sides.out / 4, kept = sides.out - extent;
  std::vector<at::Tensor> above, rows;
  for (int64_t y = 0; y < x.size(2); y += stride) {
    std::vector<at::Tensor> row, cut;
    for (int64_t left = 0; left < x.size(3); left += stride) {
      at::Tensor tile = code(x.slice(2, y, y + sides.in).slice(3, left, left + sides.in));
      if (!above.empty()) tile = blend_tiles(above[row.size()], tile, 2, extent);
      if (!row.empty()) tile = blend_tiles(row.back(), tile, 3, extent);
      row.push_back(tile);
      cut.push_back(tile.slice(2, 0, kept).slice(3, 0, kept));
    }
    rows.push_back(at::cat(cut, 3));
    above = std::move(row);
  }
  return at::cat(rows, 2);
}

}  // namespace diffusion
