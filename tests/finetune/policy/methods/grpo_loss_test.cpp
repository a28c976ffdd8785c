#include "finetune/policy/methods/grpo_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "finetune/policy/methods/ddpo_loss.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"

namespace {

using finetune::group_advantages;
using finetune::GrpoConfig;

at::Tensor doubles(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

// Prompt 0: 1, 3 (mean 2, deviation 1). Prompt 1: 0, 6 (mean 3, deviation 3); the last two say
// nothing.
const std::vector<double> kRewards = {1, 0, 3, 6, 5, std::numeric_limits<double>::quiet_NaN()};
const std::vector<int64_t> kPrompts = {0, 1, 0, 1, 2, 0};

TEST(GroupAdvantages, ByHand) {
  const auto of = [](const GrpoConfig& config) {
    return group_advantages(doubles(kRewards), kPrompts, config);
  };
  EXPECT_TRUE(at::allclose(of({}), doubles({-1, -1, 1, 1, 0, 0}), 1e-5));
  EXPECT_TRUE(at::equal(of({.prompt_deviation = false}), doubles({-1, -3, 1, 3, 0, 0})));
  // of -1, -3, 1, 3: the square root of 5
  const double epoch = std::sqrt(5.0);
  EXPECT_TRUE(at::allclose(of({.prompt_deviation = false, .epoch_deviation = true}),
                           doubles({-1 / epoch, -3 / epoch, 1 / epoch, 3 / epoch, 0, 0}), 1e-5));
  // less the one other image
  EXPECT_TRUE(at::equal(of({.prompt_deviation = false, .leave_one_out = true}),
                        doubles({-2, -6, 2, 6, 0, 0})));
}

TEST(GroupAdvantages, RefusesRewardsThatDoNotFitThePrompts) {
  EXPECT_THROW(group_advantages(doubles({1, 2}), {0}, {}), c10::Error);
}

at::Tensor normal(at::IntArrayRef shape, at::Generator& generator) {
  return at::empty(shape, at::kDouble).normal_(0, 1, generator);
}

TEST(GrpoMethod, WithoutKlItIsDdpo) {
  at::Generator generator = at::detail::createCPUGenerator(4);
  const at::Tensor old = normal({6, 1}, generator), now = old + 0.3 * normal({6, 1}, generator),
                   labels = normal({6}, generator);
  const auto method = finetune::grpo_method();
  EXPECT_FALSE(method.weighs_kl);
  const auto mine = method.objective({.now = {now, {}},
                                      .log_ratio_old = old,
                                      .labels = labels,
                                      .prompt_ids = {},
                                      .step_mask = {},
                                      .clip_range = 0.2});
  const auto theirs = finetune::ddpo_gradient(now, old, labels, 0.2);
  EXPECT_TRUE(at::equal(mine.weights.log_ratio, theirs.weights));
  EXPECT_FALSE(mine.weights.kl.defined());
  EXPECT_TRUE(at::allclose(mine.figures, at::stack({theirs.loss, theirs.clip_fraction * 6,
                                                    at::zeros({}, at::kDouble)})));
}

// Two entries with advantage 1 and -1, ratios 1 and 1, KL 0.5 and 0.25 at 4 a nat.
TEST(GrpoMethod, TheKlCostsItsCoefficient) {
  const at::Tensor zero = at::zeros({2, 1}, at::kDouble);
  const auto method = finetune::grpo_method({.kl_coefficient = 4});
  EXPECT_TRUE(method.weighs_kl);
  const auto result = method.objective({.now = {zero, doubles({0.5, 0.25}).view({2, 1})},
                                        .log_ratio_old = zero,
                                        .labels = doubles({1, -1}),
                                        .prompt_ids = {},
                                        .step_mask = {},
                                        .clip_range = 0.2});
  EXPECT_TRUE(at::equal(result.weights.log_ratio, doubles({-1, 1}).view({2, 1})));
  EXPECT_TRUE(at::equal(result.weights.kl, at::full({2, 1}, 4, at::kDouble)));
  EXPECT_TRUE(at::allclose(result.figures, doubles({3, 0, 3})));
}

// At the starting model, with rewards that are not divided by a deviation, one step of GRPO has
// PRDP's gradient times a constant: PRDP's regression has the policy gradient as its first step.
TEST(GrpoMethod, AtTheStartItIsPrdpTimesAConstant) {
  at::Generator generator = at::detail::createCPUGenerator(5);
  const std::vector<int64_t> prompts = {0, 0, 0, 0, 1, 1, 1, 1};
  const at::Tensor rewards = normal({8}, generator), zero = at::zeros({8, 3}, at::kDouble);
  const auto method = finetune::grpo_method({.prompt_deviation = false});
  const at::Tensor grpo = method
                              .objective({.now = {zero, {}},
                                          .log_ratio_old = zero,
                                          .labels = method.labels(rewards, prompts),
                                          .prompt_ids = {},
                                          .step_mask = {},
                                          .clip_range = 0.2})
                              .weights.log_ratio;
  const at::Tensor prdp =
      finetune::prdp_gradient(zero, zero, rewards, prompts, {.beta = 0.7, .clip_range = 0.2})
          .weights;
  const double factor = prdp[0][0].item<double>() / grpo[0][0].item<double>();
  EXPECT_GT(factor, 0);
  EXPECT_TRUE(at::allclose(prdp, factor * grpo, 1e-12, 1e-14));
}

}  // namespace
