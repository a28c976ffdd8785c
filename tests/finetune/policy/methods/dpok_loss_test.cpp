#include "finetune/policy/methods/dpok_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using finetune::dpok_gradient;

at::Tensor doubles(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

TEST(RewardsLessPromptMean, CentreEachPromptAndDropWhatIsNotANumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor a =
      finetune::rewards_less_prompt_mean(doubles({1, 4, 10, nan, 7, 3}), {0, 0, 1, 0, 2, 1});
  EXPECT_TRUE(at::allclose(a, doubles({-1.5, 1.5, 3.5, 0, 0, -3.5}))) << a;
  EXPECT_THROW(finetune::rewards_less_prompt_mean(a, {0, 1}), c10::Error);
}

// Two trajectories of two steps, beta 0.5, the band [0.8, 1.2]. Ratios: 1.1, 1.5 (out); 1, 0.5
// (out).
TEST(DpokGradient, ByHand) {
  const at::Tensor ratio = doubles({1.1, 1.5, 1.0, 0.5}).view({2, 2}),
                   kl = doubles({0.2, 0.4, 0, 1}).view({2, 2}),
                   old = at::full({2, 2}, 0.3, at::kDouble);
  const auto result = dpok_gradient({ratio.log() + old, kl}, old, doubles({2, -1}), 0.5, 0.2);
  EXPECT_TRUE(at::allclose(result.weights.log_ratio, doubles({-2.2, 0, 1, 0}).view({2, 2})))
      << result.weights.log_ratio;
  EXPECT_TRUE(at::equal(result.weights.kl, at::full({2, 2}, 0.5, at::kDouble)));
  EXPECT_DOUBLE_EQ(result.kl_loss.item<double>(), 0.5 * 1.6);
  // -2 (1.1 + 1.2) + 1 (1 + 0.8) + 0.8
  EXPECT_NEAR(result.loss.item<double>(), -4.6 + 1.8 + 0.8, 1e-12);
  EXPECT_DOUBLE_EQ(result.clip_fraction.item<double>(), 0.5);
}

TEST(DpokGradient, EqualsAutogradOfTheLoss) {
  at::Generator generator = at::detail::createCPUGenerator(2);
  const auto normal = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::kDouble).normal_(0, 1, generator);
  };
  const at::Tensor old = normal({6, 4}), advantages = normal({6});
  const at::Tensor u = (old + 0.3 * normal({6, 4})).requires_grad_(true),
                   kl = normal({6, 4}).abs().requires_grad_(true);
  const at::Tensor loss =
      (-advantages.unsqueeze(1) * (u - old).exp().clamp(0.8, 1.2) + 0.3 * kl).sum();
  loss.backward();
  const auto result = dpok_gradient({u, kl}, old, advantages, 0.3, 0.2);
  EXPECT_NEAR(result.loss.item<double>(), loss.item<double>(), 1e-10);
  EXPECT_LT((result.weights.log_ratio - u.grad()).abs().max().item<double>(), 1e-12);
  EXPECT_LT((result.weights.kl - kl.grad()).abs().max().item<double>(), 1e-12);
}

// Where the policy has left the band, the reward does not move it, to neither side.
TEST(DpokGradient, OutsideTheBandTheKlAloneActs) {
  const at::Tensor zero = at::zeros({1, 1}, at::kDouble);
  for (const double advantage : {2.0, -2.0}) {
    for (const double u : {0.5, -0.5}) {
      const auto result = dpok_gradient({at::full({1, 1}, u, at::kDouble), zero}, zero,
                                        doubles({advantage}), 1, 0.2);
      EXPECT_EQ(result.weights.log_ratio.item<double>(), 0) << advantage << " " << u;
      EXPECT_EQ(result.weights.kl.item<double>(), 1);
    }
  }
}

// pi_ref = N(m, s^2), r = a x: the gradient by the mean vanishes at m + s^2 a / beta, as PRDP's.
// The drawn x = mean +- s have the mean and the variance of the distribution.
TEST(DpokGradient, VanishesAtTheOptimumOfAGaussian) {
  const double s = 0.8, a = 1.7, beta = 0.6, m = -0.4, optimum = m + s * s * a / beta;
  for (const double mean : {optimum, optimum - 0.5, optimum + 0.5}) {
    const at::Tensor x = doubles({mean - s, mean + s}).view({2, 1});
    const at::Tensor centre = at::full({2, 1}, mean, at::kDouble).requires_grad_(true);
    const at::Tensor u = ((x - m).square() - (x - centre).square()) / (2 * s * s),
                     kl = (centre - m).square() / (2 * s * s);
    const auto weights =
        dpok_gradient({u, kl}, u.detach(),
                      finetune::rewards_less_prompt_mean(a * x.squeeze(1), {0, 0}), beta, 0.2)
            .weights;
    (weights.log_ratio * u + weights.kl * kl).sum().backward();
    const double slope = centre.grad().sum().item<double>() / 2;
    EXPECT_NEAR(slope, beta * (mean - optimum) / (s * s), 1e-12);
  }
}

TEST(DpokGradient, RefusesShapesThatDoNotFit) {
  const at::Tensor two = at::zeros({2, 3}, at::kDouble), one = at::zeros({2}, at::kDouble);
  EXPECT_THROW(dpok_gradient({two, at::zeros({2, 2})}, two, one, 1, 0.2), c10::Error);
  EXPECT_THROW(dpok_gradient({two, two}, at::zeros({3, 3}), one, 1, 0.2), c10::Error);
  EXPECT_THROW(dpok_gradient({two, two}, two, at::zeros({3}), 1, 0.2), c10::Error);
  EXPECT_THROW(dpok_gradient({two, two}, two, one, 0, 0.2), c10::Error);
}

TEST(DpokMethod, WithoutABaselineTheAdvantageIsTheReward) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto labels =
      finetune::dpok_method({.baseline = false}).labels(doubles({1, nan, 3}), {0, 0, 0});
  EXPECT_TRUE(at::equal(labels, doubles({1, 0, 3}))) << labels;
}

}  // namespace
