#pragma once

// Numbers of a picture that need no model. images: [B, 3, H, W] in [0, 1], R G B

#include <ATen/core/Tensor.h>

namespace data {

// 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709). -> [B, H, W] in [0, 1]
at::Tensor luma(const at::Tensor& images);
// Standard deviation of the luma. -> [B] in [0, 0.5]
at::Tensor contrast(const at::Tensor& images);
// The largest channel less the smallest (the chroma of HSV), mean over pixels. -> [B] in [0, 1]
at::Tensor saturation(const at::Tensor& images);
// Mean square of the luma's Laplacian over four neighbours: fine detail and noise. 0 for pictures
// of fewer than 3 pixels a side. -> [B]
at::Tensor laplacian_energy(const at::Tensor& images);
// A 3 x 3 window's sums over the luma x [B, H, W], with the weights row by row, where the window
// lies inside. H, W >= 3 -> [B, H - 2, W - 2]
at::Tensor filtered(const at::Tensor& x, const double (&weights)[9]);

}  // namespace data
