#include "finetune/forward/methods/imitation.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "data/base/splitmix.hpp"

namespace {

at::Tensor fp64(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

finetune::RatedImages six(const std::vector<double>& rewards) {
  return {fp64(rewards), {0, 0, 0, 1, 1, 1}, {21, 22, 23, 24, 25, 26}, 1.0};
}

TEST(BestImages, AreTheBestOfEachPromptHoweverHardItIs) {
  const auto labels = finetune::best_images(six({1, 3, 2, 50, 70, 60}), 2);
  EXPECT_EQ(labels.rows, (std::vector<int64_t>{1, 2, 4, 5}));
  EXPECT_TRUE(at::equal(labels.values, at::ones({4}, at::kDouble)));
}

TEST(BestImages, DependOnTheOrderOfTheRewardsAlone) {
  const auto images = six({0.3, 0.1, 0.2, -1, 4, 2});
  auto stretched = images;
  stretched.rewards = (3 * images.rewards).exp();
  EXPECT_EQ(finetune::best_images(images, 1).rows, finetune::best_images(stretched, 1).rows);
}

// A public trainer takes all images that equal the group's maximum as winners, also of a group in
// which all earned nothing.
TEST(BestImages, OfEqualRewardsOneIsTakenByItsSeedAndNoneWhereAllAreEqual) {
  auto images = six({5, 5, 1, 0, 0, 0});
  const auto labels = finetune::best_images(images, 1);
  ASSERT_EQ(labels.rows.size(), 1u);
  const int64_t expected = data::splitmix64(21) < data::splitmix64(22) ? 0 : 1;
  EXPECT_EQ(labels.rows[0], expected);
  std::swap(images.seeds[0], images.seeds[1]);
  EXPECT_EQ(finetune::best_images(images, 1).rows[0], 1 - expected);
  std::set<int64_t> taken;  // no place is preferred
  for (uint64_t seed = 0; seed < 32; ++seed) {
    images.seeds[0] = 2 * seed;
    images.seeds[1] = 2 * seed + 1;
    taken.insert(finetune::best_images(images, 1).rows[0]);
  }
  EXPECT_EQ(taken.size(), 2u);
}

TEST(BestImages, OfNoMoreThanAreKeptAreNotChosen) {
  EXPECT_TRUE(finetune::best_images(six({1, 2, 3, 1, 2, 3}), 3).rows.empty());
  EXPECT_THROW(finetune::best_images(six({1, 2, 3, 1, 2, 3}), 0), c10::Error);
}

// One exact round on a Gaussian moves the mean by the expected best of 8, 1.4236 deviations,
// whatever the reward's scale.
TEST(BestImages, OfEightGaussiansLieByTheExpectedMaximumAbove) {
  auto generator = at::detail::createCPUGenerator(3);
  const int64_t prompts = 20000;
  const at::Tensor x = at::randn({prompts * 8}, generator, at::kDouble);
  finetune::RatedImages images{100 * x - 7, {}, {}, 1.0};
  for (int64_t i = 0; i < prompts * 8; ++i) {
    images.prompt_ids.push_back(i / 8);
    images.seeds.push_back(static_cast<uint64_t>(i));
  }
  const auto rows = at::tensor(finetune::best_images(images, 1).rows, at::kLong);
  EXPECT_NEAR(x.index_select(0, rows).mean().item<double>(), 1.4236, 0.02);
}

TEST(WeightedImages, AreSoftmaxWeightsWithMeanOne) {
  auto images = six({1, 2, 3, 7, 7, 7});
  images.scale = 2;
  const auto labels = finetune::weighted_images(images, 0.5);
  ASSERT_EQ(labels.rows, (std::vector<int64_t>{0, 1, 2}));
  const double sum = std::exp(-2.0) + std::exp(-1.0) + 1;
  EXPECT_TRUE(at::allclose(labels.values,
                           fp64({3 * std::exp(-2.0) / sum, 3 * std::exp(-1.0) / sum, 3 / sum})));
  EXPECT_NEAR(labels.values.mean().item<double>(), 1, 1e-12);
  EXPECT_THROW(finetune::weighted_images(images, 0), c10::Error);
}

TEST(ImitationGradient, ByHand) {
  finetune::ForwardInput input;
  input.now = {fp64({6, 12}).view({2, 1}), fp64({3, 9}).view({2, 1})};
  input.labels.values = fp64({1, 0.5});
  input.dimensions = 3;
  const auto result = finetune::imitation_gradient(input, {.distance_coefficient = 0.1});
  EXPECT_TRUE(at::allclose(result.weights[0], fp64({1.0 / 3, 0.5 / 3}).view({2, 1})));
  EXPECT_TRUE(at::allclose(result.weights[1], fp64({0.1 / 3, 0.1 / 3}).view({2, 1})));
  EXPECT_NEAR(result.figures[0].item<double>(), 2 + 2 + 0.1 * 4, 1e-12);
  EXPECT_NEAR(result.figures[1].item<double>(), 6, 1e-12);
  EXPECT_NEAR(result.figures[2].item<double>(), 4, 1e-12);
  input.labels.values = fp64({1});
  EXPECT_THROW(finetune::imitation_gradient(input, {}), c10::Error);
}

}  // namespace
