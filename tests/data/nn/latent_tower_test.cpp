#include "data/nn/latent_tower.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"

namespace {

nn::LatentTower tower_of(int64_t channels, at::ScalarType type = at::kFloat) {
  auto generator = at::detail::createCPUGenerator(1);
  nn::LatentTower w = nn::make_latent_tower(channels, generator);
  for_each_tensor(w, "", [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(type); });
  return w;
}

nn::TowerModulation modulation_of(const at::Tensor& scale_1, const at::Tensor& scale_2) {
  return {.norm_1 = {scale_1, at::zeros_like(scale_1)},
          .norm_2 = {scale_2, at::zeros_like(scale_2)}};
}

TEST(LatentTower, OfZeroWeightsIsWhatTheLastShiftLeaves) {
  nn::LatentTower w = tower_of(4);
  for_each_tensor(w, "", [](const std::string&, at::Tensor& tensor) { tensor.zero_(); });
  auto modulation = modulation_of(at::zeros({2, 96}), at::zeros({2, 192}));
  modulation.norm_2.shift = at::full({2, 192}, 2.0);
  const at::Tensor features = nn::latent_features(w, at::ones({2, 4, 8, 8}), modulation);
  EXPECT_EQ(features.sizes(), at::IntArrayRef({2, 192}));
  EXPECT_TRUE(at::allclose(features, at::silu(at::full({2, 192}, 2.0))));
}

TEST(LatentTower, IsTheSameWithoutAConditionAndUnderOneOfZeros) {
  const nn::LatentTower w = tower_of(4);
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor latents = at::randn({3, 4, 8, 8}, generator);
  const at::Tensor plain = nn::latent_features(w, latents);
  EXPECT_TRUE(at::allclose(
      plain,
      nn::latent_features(w, latents, modulation_of(at::zeros({3, 96}), at::zeros({3, 192}))), 1e-5,
      1e-6));
  EXPECT_FALSE(at::allclose(
      plain,
      nn::latent_features(w, latents, modulation_of(at::ones({3, 96}), at::zeros({3, 192})))));
}

TEST(LatentTower, HasTheGradientOfFiniteDifferences) {
  const nn::LatentTower w = tower_of(2, at::kDouble);
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor latents = at::randn({1, 2, 4, 4}, generator, at::kDouble),
                   scale = at::randn({1, 96}, generator, at::kDouble);
  const auto sum = [&](const at::Tensor& x, const at::Tensor& by) {
    return nn::latent_features(w, x, modulation_of(by, at::zeros({1, 192}, at::kDouble)))
        .square()
        .sum();
  };
  EXPECT_LT(gradient_error([&](const at::Tensor& x) { return sum(x, scale); }, latents), 1e-6);
  EXPECT_LT(gradient_error([&](const at::Tensor& by) { return sum(latents, by); }, scale), 1e-6);
}

TEST(LatentTower, IsReadBackAndRefusesAnotherNumberOfChannels) {
  nn::LatentTower w = tower_of(4);
  data::Weights file;
  file.source = "tower.safetensors";
  for_each_tensor(w, "tower.", [&](const std::string& name, at::Tensor& tensor) {
    file.tensors[name] = tensor;
  });
  const nn::LatentTower again = nn::take_latent_tower(file, "tower.", 4);
  EXPECT_TRUE(at::equal(again.conv_2.weight, w.conv_2.weight));
  const std::string said = refusal([&] { nn::take_latent_tower(file, "tower.", 16); });
  EXPECT_NE(said.find("tower.conv_in.weight"), std::string::npos) << said;
}

}  // namespace
