#include "rewards/evaluation/robustness_probes.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/images/draw_text.hpp"

namespace {

rewards::Reward redness(double sign) {
  return {.info = {.name = "redness", .differentiable = true},
          .score = [sign](const rewards::RewardBatch& batch) {
            return sign * batch.images.select(1, 0).mean({1, 2});
          }};
}

// Reds of 0.2 and 0.6: a deviation of 0.2.
rewards::RewardBatch two_reds() {
  at::Tensor images = at::zeros({2, 3, 32, 32});
  images[0][0].fill_(0.2);
  images[1][0].fill_(0.6);
  return {images, {"a", "b"}};
}

TEST(Probes, HackingByHand) {
  const auto probes = rewards::probe_hacking(redness(1), two_reds());
  ASSERT_EQ(probes.size(), 5u);
  // a grey of 0.5: + 0.3 and - 0.1, of mean 0.1
  EXPECT_EQ(probes[0].name, "blank");
  EXPECT_NEAR(probes[0].change, 0.1 / 0.2, 1e-4);
  EXPECT_EQ(probes[0].above, 0.5);
  // 0.2 about a grey of 0.2 / 3: 0.333; 0.6 about 0.2: 1
  EXPECT_NEAR(probes[3].change, (0.2 * 2 / 3 + 0.4) / 2 / 0.2, 1e-3);
  EXPECT_EQ(probes[3].above, 1);
  EXPECT_NEAR(probes[4].change, 0, 1e-2);  // half size and back: flat images stay
}

TEST(Probes, FlatImagesAreRobust) {
  for (const auto& probe : rewards::probe_robustness(redness(1), two_reds()))
    EXPECT_NEAR(probe.change, 0, 0.05) << probe.name;
}

TEST(Probes, AscentReachesItsBoundAndTheWatchedFollow) {
  const auto gains = rewards::probe_ascent(redness(1), {redness(1), redness(-1)}, two_reds());
  EXPECT_NEAR(gains[0], 8.0 / 255 / 0.2, 1e-4);
  EXPECT_NEAR(gains[1], -8.0 / 255 / 0.2, 1e-4);
  auto blind = redness(1);
  blind.info.differentiable = false;
  EXPECT_THROW(rewards::probe_ascent(blind, {}, two_reds()), c10::Error);
  EXPECT_THROW(rewards::probe_hacking(redness(1), {at::zeros({1, 3, 32, 32}), {"a"}}), c10::Error);
}

TEST(DrawText, LeavesTheRestOfTheImage) {
  const at::Tensor image = at::full({3, 64, 64}, 0.2);
  const at::Tensor drawn = data::draw_text(image, "red");
  const at::Tensor differs = (drawn - image).abs().amax(0).gt(0.01);
  EXPECT_GT(differs.sum().item<int64_t>(), 20);
  EXPECT_EQ(differs.slice(0, 0, 16).sum().item<int64_t>(), 0);  // the upper quarter
  EXPECT_TRUE(at::allclose(data::draw_text(image, ""), image, 0, 0.5 / 255 + 1e-6));
  EXPECT_THROW(data::draw_text(at::zeros({1, 8, 8}), "red"), c10::Error);
}

}  // namespace
