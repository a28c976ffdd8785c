#include "finetune/policy/methods/ddpo_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/base/error.hpp"
#include "rewards/combine/epoch_combiner.hpp"

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(PromptAdvantages, NormaliseInsideEachPrompt) {
  const at::Tensor rewards = at::tensor({1.0, 3.0, 10.0, 10.0, kNan, 50.0}, at::kDouble);
  const at::Tensor a = finetune::prompt_advantages(rewards, {0, 0, 1, 1, 0, 2}, 5);
  EXPECT_NEAR(a[0].item<double>(), -1, 1e-5);
  EXPECT_NEAR(a[1].item<double>(), 1, 1e-5);
  for (const int64_t i : {2, 3, 4, 5}) EXPECT_EQ(a[i].item<double>(), 0) << i;
  at::Tensor outlier = at::zeros({100}, at::kDouble);
  outlier[0] = 1;
  EXPECT_DOUBLE_EQ(
      finetune::prompt_advantages(outlier, std::vector<int64_t>(100, 0), 5).max().item<double>(),
      5);
  EXPECT_THROW(finetune::prompt_advantages(rewards, {0}, 5), c10::Error);
}

TEST(DdpoGradient, EqualAutogradOfTheClippedSurrogate) {
  at::Generator generator = at::detail::createCPUGenerator(1);
  const auto normal = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::kDouble).normal_(0, 1, generator);
  };
  const at::Tensor old = normal({6, 4}), advantage = normal({6}),
                   u = (old + 0.3 * normal({6, 4})).requires_grad_(true);
  const double eps = 0.2;
  const at::Tensor ratio = (u - old).exp(), a = advantage.unsqueeze(1);
  const at::Tensor loss = at::maximum(-a * ratio, -a * ratio.clamp(1 - eps, 1 + eps)).sum();
  loss.backward();
  const auto result = finetune::ddpo_gradient(u, old, advantage, eps);
  EXPECT_NEAR(result.loss.item<double>(), loss.item<double>(), 1e-10);
  EXPECT_LT((result.weights - u.grad()).abs().max().item<double>(), 1e-12);
  EXPECT_GT(result.clip_fraction.item<double>(), 0);
}

TEST(DdpoGradient, AtTheSnapshotTheyAreMinusTheAdvantage) {
  const at::Tensor u = at::zeros({2, 3}), advantage = at::tensor({1.5, -0.5}, at::kDouble);
  const auto result = finetune::ddpo_gradient(u, u, advantage, 1e-6);
  EXPECT_TRUE(at::equal(result.weights, -advantage.unsqueeze(1).expand({2, 3})));
  EXPECT_EQ(result.clip_fraction.item<double>(), 0);
}

TEST(CombineRewards, AddsRawOrNormalisedParts) {
  // Reward 0 spreads by sqrt(2) within prompt 0 and 0 within prompt 1; reward 1 by 10 sqrt(2) in
  // both.
  const at::Tensor rewards =
      at::tensor({0.0, 0.0, 2.0, 20.0, 5.0, 0.0, 5.0, 20.0}, at::kDouble).view({4, 2});
  const std::vector<int64_t> prompts{0, 0, 1, 1};
  const at::Tensor spreads = finetune::pooled_spreads(rewards, prompts);
  EXPECT_NEAR(spreads[0].item<double>(), 1.0, 1e-12);
  EXPECT_NEAR(spreads[1].item<double>(), 10 * std::sqrt(2.0), 1e-12);
  finetune::CombineOptions options{.weights = {1.0, 0.5}};
  EXPECT_DOUBLE_EQ(finetune::combine_rewards(rewards, prompts, spreads, options)[1].item<double>(),
                   12);
  options.normalise = finetune::Normalise::kPooled;
  EXPECT_NEAR(finetune::combine_rewards(rewards, prompts, spreads, options)[1].item<double>(),
              2 + 0.5 * std::sqrt(2.0), 1e-12);
  options.normalise =
      finetune::Normalise::kPrompt;  // prompt 1's spread of reward 0 is floored at a tenth of 1
  const at::Tensor by_prompt = finetune::combine_rewards(rewards, prompts, spreads, options);
  EXPECT_NEAR(by_prompt[1].item<double>(), 2 / std::sqrt(2.0) + 0.5 * std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(by_prompt[2].item<double>(), 50, 1e-12);
  EXPECT_THROW(finetune::combine_rewards(rewards, prompts, spreads, {.weights = {1.0}}),
               c10::Error);
}

TEST(CombineRewards, SoftMinPrefersTheBalancedImage) {
  const at::Tensor rewards = at::tensor({2.0, -2.0, 0.2, 0.2, -2.2, 1.8}, at::kDouble).view({3, 2});
  const auto combined = finetune::combine_rewards(
      rewards, {0, 0, 0}, at::ones({2}, at::kDouble),
      {.weights = {1, 1}, .aggregate = {.kind = data::Aggregate::kSoftMin, .temperature = 0.1}});
  EXPECT_EQ(combined.argmax().item<int64_t>(), 1);
}

// Two prompts of two images, two rewards.
at::Tensor four_rewards() {
  return at::tensor({0.0, 10.0, 2.0, 20.0, 5.0, 40.0, 4.0, 0.0}, at::kDouble).view({4, 2});
}
const std::vector<int64_t> kTwoPrompts{0, 0, 1, 1};

TEST(CombineRewards, RanksCountInsideThePrompt) {
  const auto total =
      finetune::combine_rewards(four_rewards(), kTwoPrompts, at::ones({2}, at::kDouble),
                                {.weights = {1, 2}, .normalise = finetune::Normalise::kRank});
  EXPECT_TRUE(total.equal(at::tensor({1.5, 3.0, 3.0, 1.5}, at::kDouble))) << total;
}

TEST(CombineRewards, RunningAndFixedMomentsStandardise) {
  finetune::CombineOptions options{.weights = {1, 0}, .normalise = finetune::Normalise::kRunning};
  finetune::CombineState state(at::ones({2}, at::kDouble));
  const auto first = finetune::combine_rewards(four_rewards(), kTwoPrompts, state, options);
  finetune::observe(state, four_rewards(), options);
  EXPECT_TRUE(finetune::combine_rewards(four_rewards(), kTwoPrompts, state, options).equal(first));
  // mean 2.75, squares 7.5625 + 0.5625 + 5.0625 + 1.5625 = 14.75
  EXPECT_NEAR(first[2].item<double>(), 2.25 / std::sqrt(14.75 / 4), 1e-12);
  finetune::observe(state, four_rewards() + 100, options);
  EXPECT_EQ(state.running.count, 8);
  EXPECT_NEAR(state.running.mean[0].item<double>(), 52.75, 1e-12);
  options.normalise = finetune::Normalise::kFixed;
  options.fixed = {4, at::tensor({1.0, 0.0}, at::kDouble), at::tensor({16.0, 4.0}, at::kDouble)};
  EXPECT_NEAR(
      finetune::combine_rewards(four_rewards(), kTwoPrompts, state, options)[2].item<double>(), 2,
      1e-12);
}

TEST(CombineRewards, CapsLeaveNothingMoreToEarn) {
  const auto total = finetune::combine_rewards(
      four_rewards(), kTwoPrompts, at::ones({2}, at::kDouble),
      {.weights = {1, 0.1}, .caps = data::parse_caps("b=..15", {"a", "b"})});
  EXPECT_TRUE(at::allclose(total, at::tensor({1.0, 3.5, 6.5, 4.0}, at::kDouble)));
}

TEST(CombineRewards, MinComparesWithWhatThePromptUsuallyGets) {
  const auto total =
      finetune::combine_rewards(four_rewards(), kTwoPrompts, at::ones({2}, at::kDouble),
                                {.weights = {1, 1}, .aggregate = {.kind = data::Aggregate::kMin}});
  EXPECT_TRUE(at::allclose(total, at::tensor({-5.0, 1.0, 0.5, -20.0}, at::kDouble))) << total;
}

TEST(CombineRewards, AViolatedConstraintGainsWeightAndIsKeptInNumbers) {
  finetune::CombineOptions options{.weights = {1, 0},
                                   .constraints = data::parse_constraints("b>=37.5", {"a", "b"}),
                                   .constraint_rate = 0.1};
  finetune::CombineState state(at::tensor({1.0, 10.0}, at::kDouble));
  finetune::observe(state, four_rewards(), options);  // the mean of b is 17.5: two spreads short
  EXPECT_NEAR(state.multipliers[0].item<double>(), 0.2, 1e-12);
  const auto total = finetune::combine_rewards(four_rewards(), kTwoPrompts, state, options);
  EXPECT_NEAR(total[2].item<double>(), 5 + 0.2 * 40 / 10, 1e-12);
  finetune::CombineState again(state.spreads);
  finetune::restore_numbers(again, finetune::numbers_of(state), 2, 1);
  EXPECT_TRUE(again.multipliers.equal(state.multipliers));
  EXPECT_TRUE(again.running.squares.equal(state.running.squares));
  EXPECT_EQ(again.running.count, 4);
}

TEST(CombineRewards, UnknownNamesAreRefused) {
  EXPECT_THROW(finetune::normalise_by_name("pool"), data::BadInput);
}

}  // namespace
