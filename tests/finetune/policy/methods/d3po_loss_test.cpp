#include "finetune/policy/methods/d3po_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using finetune::d3po_gradient;

at::Tensor doubles(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }
double softplus(double x) { return std::log1p(std::exp(x)); }

// One pair of two steps, the second masked. Image 1 is preferred: its margin is 2 (0.3 - 0.1).
TEST(D3poGradient, ByHand) {
  const at::Tensor u = doubles({0.1, 9, 0.3, -9}).view({2, 2});
  const auto result =
      d3po_gradient(u, at::zeros_like(u), doubles({1, 2}), {0, 0}, doubles({1, 0}), 2, 0.5);
  const double slope = 2 / (1 + std::exp(0.4));
  EXPECT_NEAR(result.loss, softplus(-0.4), 1e-12);
  EXPECT_TRUE(at::allclose(result.weights, doubles({slope, 0, -slope, 0}).view({2, 2})));
  EXPECT_EQ(result.pairs, 1);
  EXPECT_EQ(result.accuracy, 1);
  EXPECT_EQ(result.clip_fraction, 0);
}

TEST(D3poGradient, AStepBeyondTheRangeHasNoGradient) {
  const at::Tensor u = doubles({1.7, 0.8}).view({2, 1}), old = at::ones({2, 1}, at::kDouble);
  const auto result = d3po_gradient(u, old, doubles({1, 2}), {0, 0}, doubles({1}), 2, 0.5);
  EXPECT_EQ(result.weights[0][0].item<double>(), 0);
  EXPECT_LT(result.weights[1][0].item<double>(), 0);
  EXPECT_NEAR(result.loss, softplus(2 * 0.7), 1e-12);
  EXPECT_EQ(result.clip_fraction, 0.5);
  EXPECT_EQ(result.accuracy, 0);
}

// The published code takes the first of two images with equal rewards as the better one.
TEST(D3poGradient, EqualRewardsMakeNoPair) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor zero = at::zeros({4, 2}, at::kDouble);
  const auto result = d3po_gradient(zero, zero, doubles({1, 1, nan, 2}), {0, 0, 0, 1},
                                    at::ones({2}, at::kDouble), 1, 1);
  EXPECT_EQ(result.pairs, 0);
  EXPECT_TRUE(at::equal(result.weights, zero));
  EXPECT_FALSE(finetune::d3po_method()
                   .objective({.now = {zero, {}},
                               .log_ratio_old = zero,
                               .labels = doubles({1, 1, nan, 2}),
                               .prompt_ids = {0, 0, 0, 1},
                               .step_mask = at::ones({2}, at::kDouble)})
                   .weights.log_ratio.defined());
}

TEST(D3poGradient, EqualsAutogradOfTheLoss) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  const at::Tensor u =
      at::empty({5, 3}, at::kDouble).normal_(0, 0.4, generator).requires_grad_(true);
  const std::vector<double> rewards = {2, 5, 3, 1, 4};
  const std::vector<int64_t> prompts = {0, 0, 0, 1, 1};
  const at::Tensor mask = doubles({1, 0, 1});
  at::Tensor loss = at::zeros({}, at::kDouble);
  const at::Tensor old = at::full({5, 3}, 0.1, at::kDouble), clamped = u.clamp(-0.4, 0.6);
  for (const auto& [better, worse, pairs] : std::vector<std::tuple<int64_t, int64_t, double>>{
           {1, 0, 3}, {2, 0, 3}, {1, 2, 3}, {4, 3, 1}}) {
    const at::Tensor margin = 1.5 * (clamped[better] - clamped[worse]);
    loss = loss - (mask * at::log_sigmoid(margin)).sum() / (2 * pairs * 2);
  }
  loss.backward();
  const auto result = d3po_gradient(u, old, doubles(rewards), prompts, mask, 1.5, 0.5);
  EXPECT_NEAR(result.loss, loss.item<double>(), 1e-12);
  EXPECT_LT((result.weights - u.grad()).abs().max().item<double>(), 1e-12);
}

TEST(D3poGradient, RefusesWhatDoesNotFit) {
  const at::Tensor u = at::zeros({2, 3}, at::kDouble), mask = at::ones({3}, at::kDouble);
  EXPECT_THROW(d3po_gradient(u, u, doubles({1}), {0, 0}, mask, 1, 1), c10::Error);
  EXPECT_THROW(d3po_gradient(u, u, doubles({1, 2}), {0}, mask, 1, 1), c10::Error);
  EXPECT_THROW(d3po_gradient(u, u, doubles({1, 2}), {0, 0}, doubles({1}), 1, 1), c10::Error);
  EXPECT_THROW(d3po_gradient(u, u, doubles({1, 2}), {0, 0}, mask, 0, 1), c10::Error);
  EXPECT_THROW(d3po_gradient(u, mask, doubles({1, 2}), {0, 0}, mask, 1, 1), c10::Error);
}

}  // namespace
