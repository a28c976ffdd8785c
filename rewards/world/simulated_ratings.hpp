#pragma once

// Ratings of the built-in world by simulated raters (rewards/world/rater_preference.hpp): synthetic
// data, for models that teach and test.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <vector>

#include "data/world/scene.hpp"

namespace rewards {

struct RaterOptions {
  int64_t raters = 20;           // in all
  int64_t ratings = 5;           // of an image, each by another rater, up to `raters`
  double bias_deviation = 0.6;   // points, of a rater's own level
  double noise_deviation = 0.8;  // points, of one rating
};

// A rater's leanings, drawn once. -> [raters]
at::Tensor draw_biases(const RaterOptions& options, at::Generator& generator);

// Mean of an image's ratings, round(taste + bias + noise) clamped to 1..10. taste: [B] -> [B]
at::Tensor simulate_ratings(const at::Tensor& taste,
                            const at::Tensor& biases,
                            const RaterOptions& options,
                            at::Generator& generator);

// Pictures as a generator makes them while it learns: four in ten stay as they are, the others are
// blurred, noisy, of few pixels, tinted, or show a second scene faintly. images: [B, 3, H, W] in
// [0, 1] -> the same shape and range
at::Tensor degrade(const at::Tensor& images, at::Generator& generator);

}  // namespace rewards
