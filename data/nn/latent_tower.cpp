#include "data/nn/latent_tower.hpp"

#include <ATen/ATen.h>

namespace nn {
namespace {

constexpr int64_t kTowerWidth = kLatentTowerWidth, kTowerGroups = 8;
constexpr double kTowerEps = 1e-5;

at::Tensor modulated_silu(const Norm& norm, const at::Tensor& x, const Modulation& modulation) {
  if (!modulation.scale.defined()) return group_norm_silu(norm, x, kTowerGroups, kTowerEps);
  const auto each = [](const at::Tensor& value) { return value.unsqueeze(-1).unsqueeze(-1); };
  return at::silu(group_norm(norm, x, kTowerGroups, kTowerEps) * (1 + each(modulation.scale)) +
                  each(modulation.shift));
}

}  // namespace

LatentTower make_latent_tower(int64_t latent_channels, at::Generator& generator) {
  LatentTower w;
  w.conv_in = make_conv2d(kTowerWidth, latent_channels, 3, generator);
  w.conv_1 = make_conv2d(2 * kTowerWidth, kTowerWidth, 3, generator);
  w.conv_2 = make_conv2d(4 * kTowerWidth, 2 * kTowerWidth, 3, generator);
  w.norm_1 = make_norm(2 * kTowerWidth);
  w.norm_2 = make_norm(4 * kTowerWidth);
  return w;
}

LatentTower take_latent_tower(const data::Weights& weights,
                              const std::string& prefix,
                              int64_t latent_channels) {
  return {.conv_in = take_conv2d(weights, prefix + "conv_in", kTowerWidth, latent_channels, 3),
          .conv_1 = take_conv2d(weights, prefix + "conv_1", 2 * kTowerWidth, kTowerWidth, 3),
          .conv_2 = take_conv2d(weights, prefix + "conv_2", 4 * kTowerWidth, 2 * kTowerWidth, 3),
          .norm_1 = take_norm(weights, prefix + "norm_1", 2 * kTowerWidth),
          .norm_2 = take_norm(weights, prefix + "norm_2", 4 * kTowerWidth)};
}

void for_each_tensor(LatentTower& w, const std::string& prefix, const data::TensorVisitor& visit) {
  for_each_tensor(w.conv_in, prefix + "conv_in", visit);
  for_each_tensor(w.conv_1, prefix + "conv_1", visit);
  for_each_tensor(w.conv_2, prefix + "conv_2", visit);
  for_each_tensor(w.norm_1, prefix + "norm_1", visit);
  for_each_tensor(w.norm_2, prefix + "norm_2", visit);
}

at::Tensor latent_features(const LatentTower& w,
                           const at::Tensor& latents,
                           const TowerModulation& modulation) {
  at::Tensor x = at::silu(conv2d(w.conv_in, latents, 1, 1));
  x = modulated_silu(w.norm_1, conv2d(w.conv_1, x, 2, 1), modulation.norm_1);
  x = modulated_silu(w.norm_2, conv2d(w.conv_2, x, 2, 1), modulation.norm_2);
  return x.mean({2, 3});
}

}  // namespace nn
