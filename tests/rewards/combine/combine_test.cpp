#include "rewards/combine/combine.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace {

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

// The options for these rewards under a normaliser of scoring.
rewards::CombineOptions under(const std::string& normaliser,
                              const std::vector<rewards::WeightedReward>& parts) {
  rewards::CombineOptions options = rewards::combine_options(parts);
  options.normaliser = &rewards::normaliser_by_name(normaliser, rewards::Stage::kScoring);
  return options;
}

TEST(Combine, RawAndRangeByHand) {
  const auto parts = two_axes(2, -1);
  const auto raw = rewards::score_all(
      parts, {.images = plain({{0.5, 0.75, 0.25}, {1, 0, 0}}), .prompts = {"a", "b"}});
  EXPECT_TRUE(at::allclose(raw, at::tensor({5.0f, 0.5f, 10.0f, 0.0f}).view({2, 2})));
  const auto none = rewards::combine(raw, {}, under("none", parts));
  EXPECT_TRUE(at::allclose(none.total, at::tensor({9.5f, 20.0f})));
  const auto range = rewards::combine(raw, {}, under("range", parts));
  EXPECT_TRUE(at::allclose(range.normalised, at::tensor({0.5f, 0.75f, 1.0f, 0.5f}).view({2, 2})));
  EXPECT_TRUE(at::allclose(range.total, at::tensor({0.25f, 1.5f})));
  EXPECT_TRUE(at::equal(range.raw, raw));
}

TEST(Combine, PromptwiseIsZeroMeanUnitDeviationWithinEachPrompt) {
  const auto parts = two_axes(1, 1);
  const auto raw = at::tensor({1.0f, 0.0f, 7.0f, 0.3f, 3.0f, 0.0f, 9.0f, 0.3f}).view({4, 2});
  const auto scored = rewards::combine(raw, {0, 1, 0, 1}, under("prompt", parts));
  // Both prompts: the first axis is {-1, +1}; the second does not vary, so it says nothing.
  EXPECT_TRUE(at::allclose(scored.total, at::tensor({-1.0f, -1.0f, 1.0f, 1.0f}), 1e-5, 1e-5))
      << scored.total;
  // An image alone with its prompt has no one to be compared with.
  EXPECT_EQ(
      rewards::combine(raw, {0, 1, 2, 3}, under("prompt", parts)).total.abs().max().item<float>(),
      0);
}

TEST(Combine, RefusesSizesThatDoNotFit) {
  const auto parts = two_axes(1, 1);
  EXPECT_THROW(rewards::combine(at::zeros({2, 3}), {}, under("none", parts)), c10::Error);
  EXPECT_THROW(rewards::combine(at::zeros({2, 2}), {0}, under("prompt", parts)), c10::Error);
}

TEST(Combine, CountsFromTheBaselineWithinTheCaps) {
  const auto parts = two_axes(2, -1);
  auto options = under("none", parts);
  options.caps = rewards::parse_caps("red=..6", {"red", "tint"});
  options.baseline = at::tensor({2.0f, 0.5f, 9.0f, 0.25f}).view({2, 2});
  const auto raw = at::tensor({5.0f, 0.5f, 10.0f, 0.0f}).view({2, 2});
  const auto scored = rewards::combine(raw, {}, options);  // red: 5 - 2, then 6 - 6
  EXPECT_TRUE(at::allclose(scored.normalised, at::tensor({3.0f, 0.0f, 0.0f, -0.25f}).view({2, 2})));
  EXPECT_TRUE(at::allclose(scored.total, at::tensor({6.0f, 0.25f})));
}

TEST(Combine, PassesTheGradient) {
  auto raw = at::tensor({5.0f, 0.5f, 10.0f, 0.0f}).view({2, 2}).requires_grad_(true);
  rewards::combine(raw, {}, under("range", two_axes(2, -1))).total.sum().backward();
  EXPECT_TRUE(at::allclose(raw.grad(), at::tensor({0.2f, -0.5f, 0.2f, -0.5f}).view({2, 2})));
}

}  // namespace
