#pragma once

// Measures the oracle's accuracy on drawn scenes, clean and disturbed as a decoder's output can be.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>

#include "data/world/scene.hpp"

namespace world {

// A caption with one word that is false for the scene.
std::string false_caption(const Scene& scene, at::Generator& generator);

struct Disturbance {
  double blur = 0;   // standard deviation of a Gaussian, pixels
  double noise = 0;  // standard deviation of white noise, of a range of [0, 1]
};
// image: [3, H, W] -> the same shape, in [0, 1]
at::Tensor disturb(const at::Tensor& image,
                   const Disturbance& disturbance,
                   at::Generator& generator);

// Fractions of scenes; of objects for kind, colour and size.
struct OracleAccuracy {
  double count = 0, kind = 0, colour = 0, size = 0, background = 0;
  double true_captions = 0;   // true captions rated exact
  double false_captions = 0;  // false captions not rated exact
  double milliseconds = 0;    // processor time per image
};
// Checks one true and one false caption of each of `scenes` scenes, alternately seen and unseen.
OracleAccuracy check_oracle(int64_t scenes,
                            const Disturbance& disturbance,
                            at::Generator& generator);

}  // namespace world
