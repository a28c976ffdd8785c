#include "finetune/forward/methods/nft.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

at::Tensor fp64(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

TEST(Optimality, IsTheAdvantageCutToItsRange) {
  const finetune::RatedImages images{
      fp64({1, 3, 2, 2, 0, 0}), {0, 0, 0, 0, 1, 1}, {1, 2, 3, 4, 5, 6}, 1.0};
  const double deviation = std::sqrt(0.5);
  const auto labels = finetune::optimality(images, 5);
  EXPECT_EQ(labels.rows, (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_TRUE(at::allclose(labels.values, 0.5 + fp64({-1, 1, 0, 0}) / (10 * deviation), 1e-5));
  const auto cut = finetune::optimality(images, 1).values;
  EXPECT_NEAR(cut[0].item<double>(), 0, 1e-12);
  EXPECT_NEAR(cut[1].item<double>(), 1, 1e-12);
  EXPECT_THROW(finetune::optimality(images, 0), c10::Error);
}

// The gradient of the loss in the output, v: [1, 1, 1, n].
at::Tensor output_gradient(const finetune::NftConfig& config,
                           const at::Tensor& v,
                           const at::Tensor& old,
                           const at::Tensor& target,
                           double r) {
  const auto method = finetune::nft_method(config);
  const at::Tensor leaf = v.detach().clone().requires_grad_(true);
  const auto scalars = method.scalars({leaf, old, target});
  finetune::ForwardInput input;
  for (const auto& scalar : scalars) input.now.push_back(scalar.detach().unsqueeze(1));
  input.labels.values = fp64({r});
  input.x0_scale = fp64({0.7}).view({1, 1});
  input.dimensions = v.numel();
  const auto weights = method.objective(input).weights;
  (scalars[0] * weights[0].squeeze(1) + scalars[1] * weights[1].squeeze(1)).sum().backward();
  return leaf.grad();
}

at::Tensor row(const std::vector<double>& values) { return fp64(values).view({1, 1, 1, -1}); }

TEST(Nft, AMiddlingImageHasNoGradientAtTheOldPolicy) {
  const at::Tensor old = row({0.3, -0.2, 1}), target = row({1, 0.5, -1});
  for (const bool normalise : {false, true}) {
    const finetune::NftConfig config{.strength = 0.8, .normalise = normalise};
    EXPECT_LT(output_gradient(config, old, old, target, 0.5).abs().max().item<double>(), 1e-12);
    // A better one pulls towards the target, a worse one pushes away.
    const at::Tensor towards = target - old;
    EXPECT_LT((output_gradient(config, old, old, target, 0.6) * towards).sum().item<double>(), 0);
    EXPECT_GT((output_gradient(config, old, old, target, 0.4) * towards).sum().item<double>(), 0);
  }
}

TEST(Nft, WithoutNormalisationTheOptimumOfATargetIsThatOfThePaper) {
  const at::Tensor old = row({0.3, -0.2, 1}), target = row({1, 0.5, -1});
  const double r = 0.8, b = 0.5;
  const at::Tensor optimum = old + (2 * r - 1) / b * (target - old);
  const finetune::NftConfig config{.strength = b, .normalise = false};
  EXPECT_LT(output_gradient(config, optimum, old, target, r).abs().max().item<double>(), 1e-12);
}

// An error of x0 of 0.7 times the output's, divided by its root mean square.
TEST(Nft, NormalisedWeightsByHand) {
  finetune::ForwardInput input;
  input.now = {fp64({8}).view({1, 1}), fp64({18}).view({1, 1})};
  input.x0_scale = fp64({0.7}).view({1, 1});
  input.labels.values = fp64({0.75});
  input.dimensions = 2;
  const auto result = finetune::nft_gradient(input, {.strength = 2});
  // rms of x0's error: 0.7 sqrt(8 / 2) = 1.4 and 0.7 sqrt(18 / 2) = 2.1
  EXPECT_NEAR(result.weights[0].item<double>(), 0.75 / 2 * 0.49 / (2 * 1.4), 1e-12);
  EXPECT_NEAR(result.weights[1].item<double>(), 0.25 / 2 * 0.49 / (2 * 2.1), 1e-12);
  EXPECT_NEAR(result.figures[0].item<double>(), 0.375 * 1.4 + 0.125 * 2.1, 1e-12);
  input.labels.values = fp64({0.5, 0.5});
  EXPECT_THROW(finetune::nft_gradient(input, {}), c10::Error);
}

}  // namespace
