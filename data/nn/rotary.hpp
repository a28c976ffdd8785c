#pragma once

// Rotary position embedding (Su et al. 2021, "RoFormer", eq. 34): pairs of channels are turned by
// angles that grow with a token's place.

#include <ATen/core/Tensor.h>

#include <vector>

namespace nn {

// [L, C / 2] fp32; undefined: nothing is turned.
struct RotaryTable {
  at::Tensor cos, sin;
};

// For tokens with places on several axes. Axis a turns widths[a] channels, its pair k by places[:,
// a] * 10000^(-2 k / widths[a]), computed in fp64. places: [L, axes]; widths: even, one for each
// axis, their sum is C
RotaryTable rotary_table(const at::Tensor& places, const std::vector<int64_t>& widths);

// Channels 2 k and 2 k + 1 are pair k. Computed in fp32 at least. x: [B, L, heads, C] -> the same
// shape and dtype
at::Tensor rotate(const RotaryTable& table, const at::Tensor& x);

}  // namespace nn
