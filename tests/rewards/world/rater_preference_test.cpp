#include "rewards/world/rater_preference.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/world/scene.hpp"
#include "rewards/registry/registry.hpp"
#include "rewards/world/simulated_ratings.hpp"

namespace {

// A square of `side` pixels of one colour with its centre at (x, y), on a ground of another. -> [1,
// 3, 64, 64]
at::Tensor square_on(
    at::ArrayRef<double> ground, at::ArrayRef<double> colour, int64_t side, int64_t x, int64_t y) {
  auto image = at::tensor(ground, at::kFloat).view({1, 3, 1, 1}).repeat({1, 1, 64, 64});
  const int64_t left = x - side / 2, top = y - side / 2;
  image.slice(2, top, top + side)
      .slice(3, left, left + side)
      .copy_(at::tensor(colour, at::kFloat).view({1, 3, 1, 1}));
  return image;
}

double value(const at::Tensor& x) { return x.item<double>(); }

TEST(RaterPreference, PartsByHand) {
  // Black, 16 x 16, in the middle of white; distance sqrt(3) > 1.2, no colour.
  const auto parts = rewards::preference_parts(square_on({1, 1, 1}, {0, 0, 0}, 16, 32, 32));
  EXPECT_NEAR(value(parts.ground), 0.75 + 0.25 * 0.5, 1e-5);
  EXPECT_NEAR(value(parts.balance), 1, 1e-3);
  EXPECT_NEAR(value(parts.size), 256.0 / 4096 / 0.2, 2e-3);
  EXPECT_NEAR(value(parts.contrast), 1, 1e-5);
  EXPECT_NEAR(value(parts.saturation), 0, 2e-3);
  EXPECT_NEAR(value(parts.clarity), 1, 1e-5);
  // Warm ground: 0.5 + 2.5 (0.9 - 0.8) = 0.75.
  const auto warm =
      rewards::preference_parts(square_on({0.9, 0.9, 0.8}, {0.9, 0.1, 0.1}, 16, 32, 32));
  EXPECT_NEAR(value(warm.ground), 0.75 * (0.886 * 0.9 + 0.114 * 0.8) + 0.25 * 0.75, 1e-5);
  EXPECT_NEAR(value(warm.saturation), 0.8, 2e-2);
}

TEST(RaterPreference, EachPartLikesWhatItNames) {
  const auto score = [](const at::Tensor& image) {
    return value(rewards::rater_preference(image));
  };
  const double base = score(square_on({0.6, 0.6, 0.6}, {0.1, 0.2, 0.9}, 16, 22, 32));
  EXPECT_GT(score(square_on({0.7, 0.65, 0.6}, {0.1, 0.2, 0.9}, 16, 22, 32)), base);  // warmer
  EXPECT_GT(score(square_on({0.6, 0.6, 0.6}, {0.1, 0.2, 0.9}, 22, 22, 32)), base);   // larger
  EXPECT_GT(score(square_on({0.6, 0.6, 0.6}, {0.1, 0.2, 0.9}, 16, 30, 32)),
            base);  // nearer the middle
  EXPECT_GT(base, score(square_on({0.6, 0.6, 0.6}, {0.3, 0.4, 0.7}, 16, 22, 32)));  // paler
  const auto sharp = square_on({0.6, 0.6, 0.6}, {0.1, 0.2, 0.9}, 16, 22, 32);
  EXPECT_GT(base,
            score(at::avg_pool2d(at::replication_pad2d(sharp, {3, 3, 3, 3}), 7, 1)));  // blurred
}

TEST(RaterPreference, AnEmptyPictureHasTheGroundAlone) {
  const auto white = at::ones({1, 3, 64, 64});
  EXPECT_NEAR(value(rewards::rater_preference(white)), 1 + 9 * 0.35 * 0.875, 1e-4);
}

TEST(RaterPreference, StaysOnItsScaleAndDoesNotDependOnTheBatch) {
  auto generator = at::detail::createCPUGenerator(3);
  const auto noise = at::rand({3, 3, 64, 64}, generator);
  const auto scenes = world::random_batch(16, world::Split::kSeen, generator).images;
  const auto all = rewards::rater_preference(at::cat({noise, scenes}));
  EXPECT_GE(all.min().item<double>(), 1);
  EXPECT_LE(all.max().item<double>(), 10);
  EXPECT_GT(all.slice(0, 3).std().item<double>(), 0.5);  // scenes differ
  EXPECT_TRUE(at::allclose(rewards::rater_preference(scenes.slice(0, 4, 5)), all.slice(0, 7, 8)));
  EXPECT_THROW(rewards::rater_preference(at::zeros({3, 64, 64})), c10::Error);
}

TEST(SimulatedRatings, WithoutBiasOrNoiseAreTheRoundedTaste) {
  auto generator = at::detail::createCPUGenerator(4);
  const rewards::RaterOptions exact{
      .raters = 3, .ratings = 2, .bias_deviation = 0, .noise_deviation = 0};
  const auto taste = at::tensor({1.2f, 5.6f, 9.9f, 14.0f});
  const auto ratings =
      rewards::simulate_ratings(taste, rewards::draw_biases(exact, generator), exact, generator);
  EXPECT_TRUE(at::equal(ratings, at::tensor({1.0f, 6.0f, 10.0f, 10.0f})));
}

TEST(RaterPreferenceReward, IsGoldAndReadsNoPrompt) {
  auto generator = at::detail::createCPUGenerator(3);
  const auto images = world::random_batch(3, world::Split::kSeen, generator).images;
  const auto reward = rewards::make_reward("rater_preference", {});
  EXPECT_TRUE(at::equal(reward.score({.images = images, .prompts = {}}),
                        rewards::rater_preference(images)));
  EXPECT_FALSE(reward.info.needs_prompt);
  EXPECT_TRUE(rewards::origin_of("rater_preference", {}).is_gold);
}

TEST(SimulatedRatings, ScatterAsTheirDeviationsSay) {
  auto generator = at::detail::createCPUGenerator(5);
  const rewards::RaterOptions options{
      .raters = 1, .ratings = 1, .bias_deviation = 0, .noise_deviation = 0.8};
  const auto ratings =
      rewards::simulate_ratings(at::full({20000}, 5.5), at::zeros({1}), options, generator);
  EXPECT_NEAR(ratings.mean().item<double>(), 5.5, 0.03);
  EXPECT_NEAR(ratings.std().item<double>(), std::sqrt(0.64 + 1.0 / 12),
              0.02);  // rounding adds 1/12
  EXPECT_THROW(rewards::simulate_ratings(at::ones({2}), at::zeros({1}), {.ratings = 2}, generator),
               c10::Error);
}

TEST(Degrade, KeepsShapeAndRangeAndSomePictures) {
  auto generator = at::detail::createCPUGenerator(6);
  const auto images = world::random_batch(64, world::Split::kSeen, generator).images;
  const auto degraded = rewards::degrade(images, generator);
  EXPECT_EQ(degraded.sizes(), images.sizes());
  EXPECT_GE(degraded.min().item<double>(), 0);
  EXPECT_LE(degraded.max().item<double>(), 1);
  const auto same = (degraded - images).abs().amax({1, 2, 3}).eq(0).sum().item<int64_t>();
  EXPECT_GT(same, 12);
  EXPECT_LT(same, 42);
}

}  // namespace
