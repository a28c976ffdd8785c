#include "finetune/forward/methods/preference.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

using finetune::ForwardInput;
using finetune::PreferenceConfig;

at::Tensor fp64(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }
double sig(double x) { return 1 / (1 + std::exp(-x)); }
finetune::PairLoss logistic(double margin) {
  return [margin](const at::Tensor& z, const at::Tensor& p, const at::Tensor& own) {
    return finetune::logistic_terms(z, p, own + margin);
  };
}
finetune::PairLoss squared(double tau) {
  return [tau](const at::Tensor& z, const at::Tensor& p, const at::Tensor& own) {
    return finetune::squared_terms(z, p, own + 1 / (2 * tau));
  };
}

// Two rows of two draws.
ForwardInput two_rows(double p) {
  ForwardInput input;
  input.now = {fp64({3, 5, 6, 4}).view({2, 2})};
  input.compared = fp64({4, 4, 4, 4}).view({2, 2});
  input.labels.pairs = {{.a = 0, .b = 1, .p = p}};
  input.dimensions = 2;
  return input;
}

// q = -0.5 beta (mean e - mean e_ref): 0 and -0.5, z = 0.5 for beta 1.
TEST(PairGradient, ByHand) {
  PreferenceConfig config;
  config.beta = 1;
  const auto result = finetune::pair_gradient(two_rows(1), config, logistic(0.2));
  EXPECT_NEAR(result.figures[0].item<double>(), std::log1p(std::exp(-0.3)), 1e-12);
  const double slope = -sig(-0.3);  // d loss / d z; d z / d e_a = -0.5 / 2
  EXPECT_TRUE(at::allclose(result.weights[0], fp64({-1, -1, 1, 1}).view({2, 2}) * slope / 4));
  const std::vector<double> expected = {2, 2.5, 2, 2, 1};  // errors, starts, accuracy
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(result.figures[static_cast<int64_t>(i) + 1].item<double>(), expected[i], 1e-12);
}

// As above with a margin of 0.3 of the pair and 0.2 of the method, and a label of 0.9.
TEST(PairGradient, OfAMarginByHand) {
  PreferenceConfig config;
  config.beta = 1;
  ForwardInput input = two_rows(0.9);
  input.labels.pairs[0].margin = 0.3;
  const auto dpo = finetune::pair_gradient(input, config, finetune::logistic_terms, 0.2);
  EXPECT_NEAR(dpo.figures[0].item<double>(), -0.9 * std::log(sig(0)) - 0.1 * std::log(sig(-1)),
              1e-12);
  EXPECT_NEAR(dpo.weights[0][1][0].item<double>(), (0.1 * sig(1) - 0.9 * 0.5) / 4, 1e-12);
  const auto ipo = finetune::pair_gradient(input, config, finetune::squared_terms, 0.4);
  EXPECT_NEAR(ipo.figures[0].item<double>(), 0.9 * 0.2 * 0.2 + 0.1 * 1.2 * 1.2, 1e-12);
}

// Two pairs of three images, whose margins differ.
TEST(PairGradient, OfMarginsIsThatOfDifferences) {
  ForwardInput input = two_rows(0.8);
  input.now = {fp64({3, 5, 6, 4, 2, 7}).view({3, 2})};
  input.compared = at::full({3, 2}, 4.0, at::kDouble);
  input.labels.pairs = {{.a = 0, .b = 1, .p = 0.8, .margin = 0.7},
                        {.a = 2, .b = 1, .p = 1, .weight = 2, .margin = 1.9}};
  for (const auto& method : {finetune::dpo_method(), finetune::ipo_method()}) {
    const auto loss = [&](int64_t i, double step) {
      ForwardInput moved = input;
      moved.now = {input.now[0].clone()};
      moved.now[0].view(-1)[i].add_(step);
      return method.objective(moved).figures[0].item<double>();
    };
    const at::Tensor weights = method.objective(input).weights[0].flatten();
    for (int64_t i = 0; i < 6; ++i)
      EXPECT_NEAR(weights[i].item<double>(), (loss(i, 1e-5) - loss(i, -1e-5)) / 2e-5, 1e-8)
          << method.name;
    const double before = loss(0, 0);
    input.labels.pairs[0].margin = 2.7;
    EXPECT_GT(loss(0, 0), before) << method.name;
    input.labels.pairs[0].margin = 0.7;
  }
}

TEST(PairGradient, WithoutAReferenceLeavesTheStartOut) {
  PreferenceConfig config;
  config.reference = false;
  ForwardInput input = two_rows(1);
  input.compared = at::Tensor();
  const auto result = finetune::pair_gradient(input, config, logistic(0));
  EXPECT_EQ(result.figures.numel(), 4);
  EXPECT_GT(result.weights[0][0][0].item<double>(), 0);
  config.reference = true;
  EXPECT_THROW(finetune::pair_gradient(input, config, logistic(0)), std::exception);
}

TEST(PairGradient, AnEvenLabelHasNoGradientAtTheStart) {
  ForwardInput input = two_rows(0.5);
  input.now = {input.compared.clone()};
  for (const auto& loss : {logistic(0), logistic(0.7), squared(1)}) {
    const auto result = finetune::pair_gradient(input, {}, loss);
    EXPECT_LT(result.weights[0].abs().max().item<double>(), 1e-15);
  }
}

TEST(PairGradient, SwappedRowsWithTheOtherProbabilityAreTheSamePair) {
  for (const bool mean : {true, false}) {
    PreferenceConfig config;
    config.logit_of_mean = mean;
    for (const auto& loss : {logistic(0.4), squared(0.5)}) {
      ForwardInput swapped = two_rows(0.8);
      const auto before = finetune::pair_gradient(two_rows(0.8), config, loss);
      swapped.labels.pairs = {{.a = 1, .b = 0, .p = 0.2}};
      const auto after = finetune::pair_gradient(swapped, config, loss);
      EXPECT_TRUE(at::allclose(before.weights[0], after.weights[0], 1e-12, 1e-15));
      EXPECT_TRUE(at::allclose(before.figures, after.figures, 1e-12));
    }
  }
}

TEST(PairGradient, ATieIsNobodysWin) {
  ForwardInput input = two_rows(0.5);
  const auto result = finetune::pair_gradient(input, {}, logistic(0));
  EXPECT_EQ(result.figures[1].item<double>(), 0);  // no preferred image
  EXPECT_EQ(result.figures[5].item<double>(), 0);
  input.labels.pairs[0].b = 2;
  EXPECT_THROW(finetune::pair_gradient(input, {}, logistic(0)), c10::Error);
}

TEST(SquaredTerms, HaveTheirOptimumAtTheLabel) {
  const at::Tensor z = fp64({0.5}).view({1, 1}), p = fp64({1}).view({1, 1});
  EXPECT_NEAR(finetune::squared_terms(z, p, z).slope.item<double>(), 0, 1e-15);
  EXPECT_NEAR(finetune::squared_terms(2 * z, p, z).loss.item<double>(), 0.25, 1e-15);
}

// Images at q = 0.4 and 0: z0 is 0.2. The first is liked.
TEST(KtoGradient, OfTwoImagesByHand) {
  finetune::KtoConfig config;
  config.beta = 2;
  config.undesirable_weight = 0.5;
  ForwardInput input;
  input.now = {fp64({3.6, 4}).view({2, 1})};
  input.compared = fp64({4, 4}).view({2, 1});
  input.labels.values = fp64({1, 0});
  const auto result = finetune::kto_gradient(input, config);
  const double up = sig(0.2), down = sig(-0.2);
  EXPECT_NEAR(result.figures[0].item<double>(), 0.5 * ((1 - up) + 0.5 * down), 1e-12);
  // d q / d e = -1
  EXPECT_NEAR(result.weights[0][0].item<double>(), 0.5 * up * (1 - up), 1e-12);
  EXPECT_NEAR(result.weights[0][1].item<double>(), -0.5 * 0.5 * down * (1 - down), 1e-12);
}

// Where all have become less likely the zero point stays at 0.
TEST(KtoGradient, TheZeroPointIsNotNegative) {
  ForwardInput input;
  input.now = {fp64({5, 6}).view({2, 1})};
  input.compared = fp64({4, 4}).view({2, 1});
  input.labels.values = fp64({1, 0});
  finetune::KtoConfig config;
  config.beta = 2;
  const auto result = finetune::kto_gradient(input, config);
  EXPECT_NEAR(result.figures[0].item<double>(), 0.5 * ((1 - sig(-1)) + sig(-2)), 1e-12);
  input.labels.values = fp64({1});
  EXPECT_THROW(finetune::kto_gradient(input, config), c10::Error);
}

TEST(RankedPairs, AreAllPairsOfAPromptWithSoftLabels) {
  const finetune::RatedImages images{fp64({1, 2, 2, 9, 9}), {0, 0, 0, 1, 1}, {1, 2, 3, 4, 5}, 0.5};
  const auto labels = finetune::ranked_pairs(images, 2);
  EXPECT_EQ(labels.rows, (std::vector<int64_t>{0, 1, 2}));
  ASSERT_EQ(labels.pairs.size(), 3u);
  EXPECT_NEAR(labels.pairs[0].p, sig(-1), 1e-12);
  EXPECT_EQ(labels.pairs[2].p, 0.5);  // equal rewards: public trainers take the first as the winner
  EXPECT_THROW(finetune::ranked_pairs(images, 0), c10::Error);
}

TEST(DesirableImages, AreComparedWithTheirPromptsMean) {
  const finetune::RatedImages images{fp64({1, 3, 2, 9, 9}), {0, 0, 0, 1, 1}, {1, 2, 3, 4, 5}, 0.5};
  const auto labels = finetune::desirable_images(images, 2);
  EXPECT_EQ(labels.rows, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(at::allclose(labels.values, fp64({sig(-1), sig(1), 0.5})));
}

// A Gaussian of deviation s with reward a x. e = (x - m)^2 / s^2 is twice the negative
// log-likelihood, so that soft labels have their optimum at m = s^2 a / beta. Labels by argmax have
// none: the loss falls as far as one looks. Pairs on a grid of quantiles.
double population_loss(double m, double beta, bool soft) {
  ForwardInput input;
  const int64_t n = 61;
  const at::Tensor x =
      at::special_ndtri((at::arange(n, at::kDouble) + 0.5) / static_cast<double>(n));
  const double a = 1.0;
  input.now = {(x - m).square().unsqueeze(1)};
  input.compared = x.square().unsqueeze(1);
  finetune::RatedImages images{a * x, std::vector<int64_t>(n, 0), {}, 1.0};
  for (int64_t i = 0; i < n; ++i) images.seeds.push_back(static_cast<uint64_t>(i));
  input.labels = finetune::ranked_pairs(images, soft ? 1.0 : 1e-9);
  PreferenceConfig config;
  config.beta = beta;
  return finetune::pair_gradient(input, config, logistic(0)).figures[0].item<double>();
}

TEST(RankedPairs, SoftLabelsHaveTheOptimumOfTheReward) {
  const double beta = 2, optimum = 0.5;
  const double best = population_loss(optimum, beta, true);
  EXPECT_LT(best, population_loss(optimum + 0.02, beta, true));
  EXPECT_LT(best, population_loss(optimum - 0.02, beta, true));
  double last = population_loss(optimum, beta, false);
  for (const double m : {1.0, 2.0, 4.0, 8.0, 16.0}) {  // labels by argmax
    const double loss = population_loss(m, beta, false);
    EXPECT_LT(loss, last) << m;
    last = loss;
  }
}

}  // namespace
