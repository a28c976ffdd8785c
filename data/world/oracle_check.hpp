#pragma once

// How well the oracle reads drawn scenes, clean and disturbed as a decoder's output may be.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>

#include "data/world/scene.hpp"

namespace world {

// A caption of which one word is false of the scene.
std::string false_caption(const Scene& scene, at::Generator& generator);

struct Disturbance {
  double blur = 0;   // standard deviation of a Gaussian, pixels
  double noise = 0;  // standard deviation of white noise, of a range of [0, 1]
};
// image: [3, H, W] -> the same shape, in [0, 1]
at::Tensor disturb(const at::Tensor& image,
                   const Disturbance& disturbance,
                   at::Generator& generator);

// Shares of scenes (of objects for kind, colour and size).
struct OracleAccuracy {
  double count = 0, kind = 0, colour = 0, size = 0, background = 0;
  double true_captions = 0;   // true captions found exact
  double false_captions = 0;  // false captions found not exact
  double milliseconds = 0;    // of processor time, an image
};
// One true and one false caption for each of `scenes` scenes, seen and unseen in turn.
OracleAccuracy check_oracle(int64_t scenes,
                            const Disturbance& disturbance,
                            at::Generator& generator);

}  // namespace world
