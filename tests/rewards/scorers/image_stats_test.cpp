#include "rewards/scorers/image_stats.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/gradient_check.hpp"

namespace {

at::Tensor plain(double red, double green, double blue) {
  return at::tensor({red, green, blue}, at::kFloat).view({1, 3, 1, 1}).expand({1, 3, 4, 4});
}

at::Tensor drawn(int64_t batch) {
  at::Tensor images = at::empty({batch, 3, 5, 4}, at::kDouble);
  return images.copy_(at::arange(images.numel(), at::kDouble)
                          .view(images.sizes())
                          .mul(0.7)
                          .sin()
                          .mul(0.4)
                          .add(0.5));
}

TEST(Brightness, ByHand) {
  EXPECT_NEAR(rewards::brightness(plain(1, 0.5, 0)).item<double>(), 0.299 + 0.587 * 0.5, 1e-6);
  EXPECT_NEAR(rewards::brightness(plain(1, 1, 1)).item<double>(), 1.0, 1e-6);
}

TEST(Brightness, GradientAgreesWithDifferences) {
  EXPECT_LT(
      gradient_error([](const at::Tensor& x) { return rewards::brightness(x).sum(); }, drawn(2)),
      1e-8);
}

TEST(Brightness, RefusesAnotherShape) {
  EXPECT_THROW(rewards::brightness(at::zeros({3, 4, 4})), c10::Error);
}

TEST(Colourfulness, ByHand) {
  EXPECT_NEAR(rewards::colourfulness(plain(0.4, 0.4, 0.4)).item<double>(), 0, 1e-4);  // grey
  // Red alone: rg = 255, yb = 127.5, no deviation.
  EXPECT_NEAR(rewards::colourfulness(plain(1, 0, 0)).item<double>(), 0.3 * std::hypot(255.0, 127.5),
              1e-3);
  // Half red, half blue: rg = {255, 0}, yb = {127.5, -255}: deviations 127.5 and 191.25, means
  // 127.5 and -63.75.
  const auto halves = at::cat({plain(1, 0, 0), plain(0, 0, 1)}, 3);
  const double expected = std::hypot(127.5, 191.25) + 0.3 * std::hypot(127.5, 63.75);
  EXPECT_NEAR(rewards::colourfulness(halves).item<double>(), expected, 1e-3);
}

TEST(Colourfulness, DoesNotDependOnTheOrderOfPixelsOrOnTheBatch) {
  const auto images = drawn(3);
  const auto together = rewards::colourfulness(images);
  EXPECT_TRUE(at::allclose(rewards::colourfulness(images.flip({2, 3})), together));
  EXPECT_TRUE(at::allclose(rewards::colourfulness(images.slice(0, 1, 2)), together.slice(0, 1, 2)));
}

TEST(Colourfulness, GradientAgreesWithDifferencesAndIsFiniteOnGrey) {
  EXPECT_LT(
      gradient_error([](const at::Tensor& x) { return rewards::colourfulness(x).sum(); }, drawn(2)),
      1e-5);
  auto grey = plain(0.5, 0.5, 0.5).clone().requires_grad_(true);
  rewards::colourfulness(grey).sum().backward();
  EXPECT_TRUE(at::isfinite(grey.grad()).all().item<bool>());
}

TEST(ImageStatsRewards, SayThatTheyNeedNoPromptAndAreDifferentiable) {
  for (const auto& reward : {rewards::brightness_reward(), rewards::colourfulness_reward()}) {
    EXPECT_FALSE(reward.info.needs_prompt);
    EXPECT_TRUE(reward.info.differentiable);
    EXPECT_EQ(reward.score({.images = at::rand({2, 3, 4, 4}), .prompts = {}}).sizes(),
              at::IntArrayRef({2}));
  }
}

}  // namespace
