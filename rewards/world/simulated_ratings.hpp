#pragma once

// Ratings of the built-in world by simulated raters (rewards/world/rater_preference.hpp): synthetic
// data for training and tests.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <vector>

#include "data/world/scene.hpp"

namespace rewards {

struct RaterOptions {
  int64_t raters = 20;           // in all
  int64_t ratings = 5;           // of an image, by different raters; at most `raters`
  double bias_deviation = 0.6;   // points, of a rater's level
  double noise_deviation = 0.8;  // points, of one rating
};

// The bias of each rater, drawn once. -> [raters]
at::Tensor draw_biases(const RaterOptions& options, at::Generator& generator);

// Mean of an image's ratings, round(preference + bias + noise) clamped to 1..10. preference: [B] ->
// [B]
at::Tensor simulate_ratings(const at::Tensor& preference,
                            const at::Tensor& biases,
                            const RaterOptions& options,
                            at::Generator& generator);

// Imitates the faults of a generator in training: 40 % of the images stay unchanged, the others are
// blurred, noisy, downsampled, tinted, or blended with another image. images: [B, 3, H, W] in [0,
// 1]
// -> the same shape and range
at::Tensor degrade(const at::Tensor& images, at::Generator& generator);

}  // namespace rewards
