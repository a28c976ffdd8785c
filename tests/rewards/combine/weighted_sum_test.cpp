#include "rewards/combine/weighted_sum.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "rewards/scorers/image_stats.hpp"

namespace {

using rewards::Normaliser;

// Two axes with ranges [0, 10] and [-1, 1]: ten times red's mean, and green's mean minus blue's.
std::vector<rewards::WeightedReward> two_axes(double first, double second) {
  rewards::Reward red{.info = {.name = "red", .low = 0, .high = 10, .differentiable = true},
                      .score = [](const rewards::RewardBatch& batch) {
                        return 10 * batch.images.mean({2, 3}).select(1, 0);
                      }};
  rewards::Reward tint{.info = {.name = "tint", .low = -1, .high = 1, .needs_prompt = true},
                       .score = [](const rewards::RewardBatch& batch) {
                         const auto mean = batch.images.mean({2, 3});
                         return mean.select(1, 1) - mean.select(1, 2);
                       }};
  return {{red, first}, {tint, second}};
}

at::Tensor plain(std::initializer_list<std::initializer_list<double>> colours) {
  std::vector<at::Tensor> images;
  for (const auto& colour : colours)
    images.push_back(at::tensor(colour, at::kFloat).view({3, 1, 1}).expand({3, 2, 2}));
  return at::stack(images);
}

std::string message_of(const std::string& specification) {
  try {
    rewards::parse_reward_weights(specification);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(ParseRewardWeights, NamesAndWeightsInOrder) {
  const auto weights = rewards::parse_reward_weights(
      "aesthetic=1, clip_score:0.5,jpeg_compressibility=-2e-1,oracle");
  ASSERT_EQ(weights.size(), 4u);
  EXPECT_EQ(weights[1].name, "clip_score");
  EXPECT_EQ(weights[1].weight, 0.5);
  EXPECT_EQ(weights[2].weight, -0.2);
  EXPECT_EQ(weights[3].name, "oracle");
  EXPECT_EQ(weights[3].weight, 1);
}

TEST(ParseRewardWeights, RefusesWhatIsNotAWeight) {
  EXPECT_NE(message_of("").find("found nothing"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=").find("found ''"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=two").find("'two'"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=nan").find("nan"), std::string::npos);
  EXPECT_NE(message_of("aesthetic=0").find("other than 0"), std::string::npos);
  EXPECT_NE(message_of("a=1,,b=1").find("NAME"), std::string::npos);
  EXPECT_NE(message_of("a=1,b=2,a=3").find("twice"), std::string::npos);
}

TEST(Combine, RawAndRangeByHand) {
  const auto parts = two_axes(2, -1);
  const auto raw = rewards::score_all(
      parts, {.images = plain({{0.5, 0.75, 0.25}, {1, 0, 0}}), .prompts = {"a", "b"}});
  EXPECT_TRUE(at::allclose(raw, at::tensor({5.0f, 0.5f, 10.0f, 0.0f}).view({2, 2})));
  const auto none = rewards::combine(parts, raw, {}, {.normaliser = Normaliser::kNone});
  EXPECT_TRUE(at::allclose(none.total, at::tensor({9.5f, 20.0f})));
  const auto range = rewards::combine(parts, raw, {}, {.normaliser = Normaliser::kRange});
  EXPECT_TRUE(at::allclose(range.normalised, at::tensor({0.5f, 0.75f, 1.0f, 0.5f}).view({2, 2})));
  EXPECT_TRUE(at::allclose(range.total, at::tensor({0.25f, 1.5f})));
  EXPECT_TRUE(at::equal(range.raw, raw));
}

TEST(Combine, PromptwiseIsZeroMeanUnitDeviationWithinEachPrompt) {
  const auto parts = two_axes(1, 1);
  const auto raw = at::tensor({1.0f, 0.0f, 7.0f, 0.3f, 3.0f, 0.0f, 9.0f, 0.3f}).view({4, 2});
  const auto scored =
      rewards::combine(parts, raw, {"a", "b", "a", "b"}, {.normaliser = Normaliser::kPrompt});
  // Both prompts: the first axis is {-1, +1}; the second does not vary, so it says nothing.
  EXPECT_TRUE(at::allclose(scored.total, at::tensor({-1.0f, -1.0f, 1.0f, 1.0f}), 1e-5, 1e-5))
      << scored.total;
  // An image alone with its prompt has no one to be compared with.
  EXPECT_EQ(rewards::combine(parts, raw, {"a", "b", "c", "d"}, {.normaliser = Normaliser::kPrompt})
                .total.abs()
                .max()
                .item<float>(),
            0);
}

TEST(Combine, RefusesSizesThatDoNotFit) {
  const auto parts = two_axes(1, 1);
  EXPECT_THROW(rewards::combine(parts, at::zeros({2, 3}), {}, {.normaliser = Normaliser::kNone}),
               c10::Error);
  EXPECT_THROW(
      rewards::combine(parts, at::zeros({2, 2}), {"a"}, {.normaliser = Normaliser::kPrompt}),
      c10::Error);
}

TEST(WeightedSum, IsAReward) {
  const auto parts = two_axes(2, -1);
  const auto sum = rewards::weighted_sum(parts, Normaliser::kRange);
  EXPECT_EQ(sum.info.description, "2 red + -1 tint");
  EXPECT_EQ(sum.info.low, -1);
  EXPECT_EQ(sum.info.high, 2);
  EXPECT_TRUE(sum.info.needs_prompt);
  EXPECT_FALSE(sum.info.differentiable);
  const auto total = sum.score({.images = plain({{0.5, 0.75, 0.25}}), .prompts = {"a"}});
  EXPECT_NEAR(total.item<double>(), 0.25, 1e-6);
}

TEST(WeightedSum, PassesTheGradientOfItsParts) {
  const auto sum = rewards::weighted_sum({{rewards::brightness_reward(), 3}}, Normaliser::kRange);
  EXPECT_TRUE(sum.info.differentiable);
  auto images = at::rand({1, 3, 2, 2}).requires_grad_(true);
  sum.score({.images = images, .prompts = {}}).sum().backward();
  EXPECT_NEAR(images.grad()[0][1][0][0].item<double>(), 3 * 0.587 / 4, 1e-6);
}

TEST(Normaliser, ByName) {
  EXPECT_EQ(rewards::normaliser_by_name("prompt"), Normaliser::kPrompt);
  EXPECT_THROW(rewards::normaliser_by_name("zscore"), data::BadInput);
}

}  // namespace
