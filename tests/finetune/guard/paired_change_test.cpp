#include "finetune/guard/paired_change.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

const std::vector<int64_t> kTwoByTwo{0, 0, 1, 1};

at::Tensor columns(std::vector<double> values, int64_t rewards) {
  return at::tensor(values, at::kDouble).view({-1, rewards});
}

// Deviation within each prompt: sqrt(2). Changes: -1, -1, -2, -2.
TEST(PairedChange, IsTheTestOverPromptsByHand) {
  const at::Tensor start = columns({0, 2, 1, 3}, 1), now = columns({-1, 1, -1, 1}, 1);
  const at::Tensor scales = guard::change_scales(start, kTwoByTwo);
  EXPECT_DOUBLE_EQ(scales[0].item<double>(), std::sqrt(2.0));
  const auto change = guard::paired_change(now, start, scales, kTwoByTwo, 0.05);
  EXPECT_NEAR(change.mean, -1.5 / std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(change.error, 0.5 / std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(change.bound, change.mean + 6.3137515147 * change.error, 1e-8);
  EXPECT_EQ(change.prompts, 2);
  EXPECT_NEAR(change.by_image[2], -2 / std::sqrt(2.0), 1e-12);
}

// t(0.95, 2) = 2.920
TEST(PairedChange, HasAnUpperBoundAtAnyLevel) {
  const guard::PairedChange change{.mean = -1, .error = 0.25, .prompts = 3};
  EXPECT_NEAR(guard::upper_bound(change, 0.05), -1 + 0.25 * 2.91999, 1e-4);
  EXPECT_NEAR(guard::upper_bound(change, 0.5), -1, 1e-12);
  EXPECT_TRUE(std::isnan(guard::upper_bound({.mean = -1, .error = 0, .prompts = 1}, 0.05)));
}

TEST(PairedChange, OfOneImageAPromptIsMeasuredInTheDeviationOverAll) {
  const at::Tensor start = columns({0, 3, 6}, 1);
  EXPECT_DOUBLE_EQ(guard::change_scales(start, {0, 1, 2})[0].item<double>(), 3);
  EXPECT_DOUBLE_EQ(guard::change_scales(columns({5, 5}, 1), {0, 1})[0].item<double>(), 1);
}

TEST(PairedChange, DoesNotDependOnAPromptsOwnLevelOrOnUnits) {
  auto generator = at::detail::createCPUGenerator(3);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 24; ++i) ids.push_back(i / 3);
  const at::Tensor start = at::randn({24, 2}, generator, at::kDouble),
                   now = start + 0.3 * at::randn({24, 2}, generator, at::kDouble) - 0.2;
  const at::Tensor level = at::arange(8, at::kDouble).repeat_interleave(3).unsqueeze(1) * 10;
  const auto once = guard::paired_change(now, start, guard::change_scales(start, ids), ids, 0.01);
  const at::Tensor other = (start + level) * 7;
  const auto again =
      guard::paired_change((now + level) * 7, other, guard::change_scales(other, ids), ids, 0.01);
  EXPECT_NEAR(once.mean, again.mean, 1e-10);
  EXPECT_NEAR(once.bound, again.bound, 1e-9);
}

TEST(PairedChange, LeavesOutScoresThatAreNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor start = columns({0, 0, 0, 0, 0, 0, 0, 0}, 2),
                   now = columns({1, nan, 1, nan, nan, nan, nan, nan}, 2);
  const auto change = guard::paired_change(now, start, at::ones({2}), kTwoByTwo, 0.05);
  EXPECT_EQ(change.prompts, 1);
  EXPECT_DOUBLE_EQ(change.mean, 1);
  EXPECT_TRUE(std::isnan(change.error));
  EXPECT_FALSE(change.bound < 0);  // nothing is proven by one prompt
  EXPECT_DOUBLE_EQ(change.by_reward[0], 1);
  EXPECT_TRUE(std::isnan(change.by_reward[1]));
  EXPECT_TRUE(std::isnan(change.by_image[3]));
}

TEST(PairedChange, RefusesRowsThatDoNotMatch) {
  EXPECT_THROW(
      guard::paired_change(at::zeros({4, 1}), at::zeros({3, 1}), at::ones({1}), kTwoByTwo, 0.05),
      c10::Error);
  EXPECT_THROW(
      guard::paired_change(at::zeros({4, 1}), at::zeros({4, 1}), at::ones({2}), kTwoByTwo, 0.05),
      c10::Error);
}

}  // namespace
