#pragma once

// What can be measured of a picture without a model. A taste may move any of them; a fault of the
// decoder, noise and burnt-out pictures move them far.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace guard {

// One number of a picture.
struct ImageStatistic {
  const char* name;                                 // of the metric: "luma"
  const char* words;                                // "brightness"
  at::Tensor (*measure)(const at::Tensor& images);  // [B, 3, H, W] in [0, 1] -> [B]
};
const std::vector<ImageStatistic>& image_statistics();

// Share of the pixels with a channel at 0 or 1 to 8 bits. images: [B, 3, H, W] -> [B] in [0, 1]
at::Tensor clipped_share(const at::Tensor& images);

// Every statistic of each image. images: [B, 3, H, W] fp32 in [0, 1], on any device -> [B, S] fp64
// on the CPU
at::Tensor measure_statistics(const at::Tensor& images);

}  // namespace guard
