#pragma once

// A small convolutional network on a latent, as scorers of latents share it.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>

#include "data/nn/layers.hpp"

namespace nn {

struct LatentTower {
  Conv2d conv_in, conv_1, conv_2;  // [W, C, 3, 3], [2 W, W, 3, 3], [4 W, 2 W, 3, 3]
  Norm norm_1, norm_2;             // over 2 W and 4 W channels, in 8 groups
};

constexpr int64_t kLatentTowerWidth = 48;  // W

LatentTower make_latent_tower(int64_t latent_channels, at::Generator& generator);
// Throws BadInput where a tensor is missing or of another size.
LatentTower take_latent_tower(const data::Weights& weights,
                              const std::string& prefix,
                              int64_t latent_channels);
void for_each_tensor(LatentTower& w, const std::string& prefix, const data::TensorVisitor& visit);

// What a condition does to a norm's result y: y (1 + scale) + shift (Perez et al., "FiLM", 2018).
// scale, shift: [B, channels]; undefined: nothing
struct Modulation {
  at::Tensor scale, shift;
};
struct TowerModulation {
  Modulation norm_1, norm_2;
};

// The mean over the places of the last layer. latents: [B, C, h, w] -> [B, 4 W]
at::Tensor latent_features(const LatentTower& w,
                           const at::Tensor& latents,
                           const TowerModulation& modulation = {});

}  // namespace nn
