#pragma once

// Large images through the VAE a tile at a time: diffusers' enable_vae_tiling. Each tile is coded
// by itself, so group norms and attention see a tile alone and the result differs a little from
// that of the whole; the overlaps are blended so that no seam shows.

#include <ATen/core/Tensor.h>

#include <functional>

namespace diffusion {

// `b` with its first `extent` rows (dim 2) or columns (dim 3) faded in from the last ones of `a`,
// weight i / extent at the i-th. a, b: [B, C, H, W]; fewer where either is smaller.
at::Tensor blend_tiles(const at::Tensor& a, const at::Tensor& b, int64_t dim, int64_t extent);

// Side of a square tile where it goes in and where it comes out, both multiples of 4: a quarter
// overlaps the next tile.
struct TileSides {
  int64_t in = 0, out = 0;
};
// x: [B, C, H, W] -> [B, C', H out / in, W out / in]. `code` takes a tile of up to [B, C, in, in].
at::Tensor code_in_tiles(const std::function<at::Tensor(const at::Tensor&)>& code,
                         const at::Tensor& x,
                         TileSides sides);

}  // namespace diffusion
