#pragma once

// How far the images of a prompt lie from each other.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace rewards {

// Of each image, the mean over the other images of its prompt of 1 - cos(features, features'):
// Cideron et al., "Diversity-Rewarded CFG Distillation" (2024), whose reward of a prompt's group is
// the mean of these. An image that is alone in its prompt gets 0.
//   features: [P, D], any floating type; prompt_ids: P -> [P] fp64 in [0, 2], on the CPU
at::Tensor image_diversity(const at::Tensor& features, const std::vector<int64_t>& prompt_ids);

// Mean over the prompts with at least two images of the mean of image_diversity; 0 without any.
double mean_diversity(const at::Tensor& features, const std::vector<int64_t>& prompt_ids);

}  // namespace rewards
