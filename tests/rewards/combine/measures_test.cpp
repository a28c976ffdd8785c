#include "rewards/combine/measures.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "rewards/combine/diversity.hpp"
#include "tests/support/refusal.hpp"

namespace {

using rewards::RewardBatch;
using rewards::WeightedReward;

// The mean of an image, and the diversity of its pixels.
std::vector<WeightedReward> two_rewards() {
  const rewards::Reward mean{.info = {.name = "mean"}, .score = [](const RewardBatch& batch) {
                               return batch.images.mean({1, 2, 3});
                             }};
  const rewards::Reward apart{
      .info = {.name = "apart", .compares_images = true},
      .score = {},
      .group = rewards::GroupScore{
          .width = 12,
          .features = [](const RewardBatch& batch) { return batch.images.flatten(1); },
          .score = rewards::image_diversity}};
  return {{apart, 1}, {mean, 2}};
}

TEST(Measures, OfBatchesBecomeTheScoresOfTheWhole) {
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor images = at::rand({6, 3, 2, 2}, generator);
  const std::vector<int64_t> ids = {0, 1, 0, 1, 0, 1};
  const auto rewards = two_rewards();
  EXPECT_EQ(rewards::measure_width(rewards), 13);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < 6; start += 2)
    parts.push_back(rewards::measure(rewards, {images.narrow(0, start, 2), {}}));
  const at::Tensor scores = rewards::scores_of(rewards, at::cat(parts), ids);
  ASSERT_EQ(scores.sizes(), (std::vector<int64_t>{6, 2}));
  EXPECT_TRUE(at::allclose(scores.select(1, 0), rewards::image_diversity(images.flatten(1), ids)));
  EXPECT_TRUE(at::allclose(scores.select(1, 1), images.mean({1, 2, 3}).to(at::kDouble)));
}

TEST(Measures, OfNoRewardsAreNoColumns) {
  EXPECT_EQ(rewards::measure({}, {at::zeros({3, 3, 2, 2}), {}}).size(1), 0);
  EXPECT_EQ(rewards::scores_of({}, at::zeros({3, 0}, at::kDouble), {0, 0, 0}).size(1), 0);
}

TEST(Measures, RefuseImagesThatHaveNoneToCompareWith) {
  const auto rewards = two_rewards();
  const std::string said = refusal([&] { rewards::check_groups(rewards, {0, 1}); });
  EXPECT_NE(said.find("reward apart: expected two images of a prompt"), std::string::npos) << said;
  rewards::check_groups(rewards, {0, 1, 0});
  rewards::check_groups({rewards[1]}, {0, 1});
}

TEST(Measures, RefuseAnotherWidth) {
  EXPECT_THROW(rewards::scores_of(two_rewards(), at::zeros({2, 2}, at::kDouble), {0, 0}),
               c10::Error);
}

}  // namespace
