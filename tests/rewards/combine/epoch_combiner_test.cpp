#include "rewards/combine/epoch_combiner.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/combine/prompt_groups.hpp"

namespace {

const rewards::Normaliser* training(const std::string& name) {
  return &rewards::normaliser_by_name(name, rewards::Stage::kTraining);
}

TEST(CombineRewards, AddsRawOrNormalisedParts) {
  // Reward 0 spreads by sqrt(2) within prompt 0 and 0 within prompt 1; reward 1 by 10 sqrt(2) in
  // both.
  const at::Tensor rewards =
      at::tensor({0.0, 0.0, 2.0, 20.0, 5.0, 0.0, 5.0, 20.0}, at::kDouble).view({4, 2});
  const std::vector<int64_t> prompts{0, 0, 1, 1};
  const at::Tensor spreads = rewards::pooled_spreads(rewards, prompts);
  EXPECT_NEAR(spreads[0].item<double>(), 1.0, 1e-12);
  EXPECT_NEAR(spreads[1].item<double>(), 10 * std::sqrt(2.0), 1e-12);
  rewards::CombineOptions options{.weights = {1.0, 0.5}};
  EXPECT_DOUBLE_EQ(rewards::combine_rewards(rewards, prompts, spreads, options)[1].item<double>(),
                   12);
  options.normaliser = training("pooled");
  EXPECT_NEAR(rewards::combine_rewards(rewards, prompts, spreads, options)[1].item<double>(),
              2 + 0.5 * std::sqrt(2.0), 1e-12);
  options.normaliser =
      training("prompt");  // prompt 1's spread of reward 0 is floored at a tenth of 1
  const at::Tensor by_prompt = rewards::combine_rewards(rewards, prompts, spreads, options);
  EXPECT_NEAR(by_prompt[1].item<double>(), 2 / std::sqrt(2.0) + 0.5 * std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(by_prompt[2].item<double>(), 50, 1e-12);
  EXPECT_THROW(rewards::combine_rewards(rewards, prompts, spreads, {.weights = {1.0}}), c10::Error);
}

TEST(CombineRewards, SoftMinPrefersTheBalancedImage) {
  const at::Tensor rewards = at::tensor({2.0, -2.0, 0.2, 0.2, -2.2, 1.8}, at::kDouble).view({3, 2});
  const auto combined = rewards::combine_rewards(
      rewards, {0, 0, 0}, at::ones({2}, at::kDouble),
      {.weights = {1, 1},
       .aggregate = {.kind = &rewards::aggregate_by_name("soft_min"), .temperature = 0.1}});
  EXPECT_EQ(combined.argmax().item<int64_t>(), 1);
}

// Two prompts of two images, two rewards.
at::Tensor four_rewards() {
  return at::tensor({0.0, 10.0, 2.0, 20.0, 5.0, 40.0, 4.0, 0.0}, at::kDouble).view({4, 2});
}
const std::vector<int64_t> kTwoPrompts{0, 0, 1, 1};

TEST(CombineRewards, RanksCountInsideThePrompt) {
  const auto total =
      rewards::combine_rewards(four_rewards(), kTwoPrompts, at::ones({2}, at::kDouble),
                               {.weights = {1, 2}, .normaliser = training("rank")});
  EXPECT_TRUE(total.equal(at::tensor({1.5, 3.0, 3.0, 1.5}, at::kDouble))) << total;
}

TEST(CombineRewards, RunningAndFixedMomentsStandardise) {
  rewards::CombineOptions options{.weights = {1, 0}, .normaliser = training("running")};
  rewards::CombineState state(at::ones({2}, at::kDouble));
  const auto first = rewards::combine_rewards(four_rewards(), kTwoPrompts, state, options);
  rewards::observe(state, four_rewards(), options);
  EXPECT_TRUE(rewards::combine_rewards(four_rewards(), kTwoPrompts, state, options).equal(first));
  // mean 2.75, squares 7.5625 + 0.5625 + 5.0625 + 1.5625 = 14.75
  EXPECT_NEAR(first[2].item<double>(), 2.25 / std::sqrt(14.75 / 4), 1e-12);
  rewards::observe(state, four_rewards() + 100, options);
  EXPECT_EQ(state.running.count, 8);
  EXPECT_NEAR(state.running.mean[0].item<double>(), 52.75, 1e-12);
  options.normaliser = training("fixed");
  options.statistics = {4, at::tensor({1.0, 0.0}, at::kDouble),
                        at::tensor({16.0, 4.0}, at::kDouble)};
  EXPECT_NEAR(
      rewards::combine_rewards(four_rewards(), kTwoPrompts, state, options)[2].item<double>(), 2,
      1e-12);
}

TEST(CombineRewards, CapsLeaveNothingMoreToEarn) {
  const auto total = rewards::combine_rewards(
      four_rewards(), kTwoPrompts, at::ones({2}, at::kDouble),
      {.weights = {1, 0.1}, .caps = rewards::parse_caps("b=..15", {"a", "b"})});
  EXPECT_TRUE(at::allclose(total, at::tensor({1.0, 3.5, 6.5, 4.0}, at::kDouble)));
}

TEST(CombineRewards, MinComparesWithWhatThePromptUsuallyGets) {
  const auto total = rewards::combine_rewards(
      four_rewards(), kTwoPrompts, at::ones({2}, at::kDouble),
      {.weights = {1, 1}, .aggregate = {.kind = &rewards::aggregate_by_name("min")}});
  EXPECT_TRUE(at::allclose(total, at::tensor({-5.0, 1.0, 0.5, -20.0}, at::kDouble))) << total;
}

TEST(CombineRewards, AViolatedConstraintGainsWeightAndIsKeptInNumbers) {
  rewards::CombineOptions options{.weights = {1, 0},
                                  .constraints = rewards::parse_constraints("b>=37.5", {"a", "b"}),
                                  .constraint_rate = 0.1};
  rewards::CombineState state(at::tensor({1.0, 10.0}, at::kDouble));
  rewards::observe(state, four_rewards(), options);  // the mean of b is 17.5: two spreads short
  EXPECT_NEAR(state.multipliers[0].item<double>(), 0.2, 1e-12);
  const auto total = rewards::combine_rewards(four_rewards(), kTwoPrompts, state, options);
  EXPECT_NEAR(total[2].item<double>(), 5 + 0.2 * 40 / 10, 1e-12);
  rewards::CombineState again(state.spreads);
  rewards::restore_numbers(again, rewards::numbers_of(state), 2, 1);
  EXPECT_TRUE(again.multipliers.equal(state.multipliers));
  EXPECT_TRUE(again.running.squares.equal(state.running.squares));
  EXPECT_EQ(again.running.count, 4);
}

TEST(CombineRewards, RobustFollowsTheMemberThatGainedLeastSinceTheFirstEpoch) {
  rewards::CombineOptions options{
      .weights = {1, 1},
      .aggregate = {.kind = &rewards::aggregate_by_name("robust"), .nominal = 0}};
  rewards::CombineState state(at::tensor({1.0, 10.0}, at::kDouble));
  const auto total = [&](const at::Tensor& raw) {
    return rewards::combine_rewards(raw, kTwoPrompts, state, options);
  };
  // Centred: a is -1, 1, 0.5, -0.5, b is -5, 5, 20, -20. At first both count.
  EXPECT_TRUE(
      at::allclose(total(four_rewards()), at::tensor({-3.0, 3.0, 10.25, -10.25}, at::kDouble)))
      << total(four_rewards());
  rewards::observe(state, four_rewards(), options);
  // a gained 2 of its spreads, b 10 / 10 = 1.
  const at::Tensor later = four_rewards() + at::tensor({2.0, 10.0}, at::kDouble);
  EXPECT_TRUE(at::allclose(total(later), at::tensor({-5.0, 5.0, 20.0, -20.0}, at::kDouble)));
  // Resumed, the start is known; later epochs do not change it.
  rewards::CombineState again(state.spreads);
  rewards::restore_numbers(again, rewards::numbers_of(state), 2, 0);
  rewards::observe(again, later, options);
  EXPECT_TRUE(again.start.equal(state.start));
  EXPECT_TRUE(again.start.equal(at::tensor({2.75, 17.5}, at::kDouble)));
  // Another rule keeps no start.
  rewards::CombineState plain;
  rewards::observe(plain, four_rewards(), {.weights = {1, 1}});
  EXPECT_FALSE(plain.start.defined());
}

TEST(EvaluationOptions, LeaveNothingThatDependsOnOtherImages) {
  rewards::CombineOptions options{.weights = {1}, .normaliser = training("rank")};
  options.aggregate.kind = &rewards::aggregate_by_name("min");
  const auto evaluated = rewards::evaluation_options(options);
  EXPECT_STREQ(evaluated.normaliser->name, "pooled");
  EXPECT_EQ(evaluated.aggregate.kind, &rewards::kSum);
  for (const char* name : {"none", "pooled", "fixed"}) {
    options.normaliser = training(name);
    EXPECT_EQ(rewards::evaluation_options(options).normaliser, options.normaliser) << name;
  }
}

}  // namespace
