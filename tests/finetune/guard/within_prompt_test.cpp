#include "finetune/guard/within_prompt.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

// `prompts` of 8 images each whose scores correlate by `rho` within a prompt, and by -1 across.
std::vector<guard::PromptMoments> simulated(int64_t prompts, double rho, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < prompts * 8; ++i) ids.push_back(i / 8);
  const at::Tensor level = at::randn({prompts}, generator, at::kDouble).repeat_interleave(8) * 5;
  const at::Tensor x = at::randn({prompts * 8}, generator, at::kDouble),
                   own = at::randn({prompts * 8}, generator, at::kDouble);
  return guard::within_prompt_moments(x + level, rho * x + std::sqrt(1 - rho * rho) * own - level,
                                      ids);
}

TEST(WithinPrompt, IsTheCorrelationByHand) {
  const at::Tensor x = at::tensor({1.0, 2.0, 3.0, 7.0, 9.0}),
                   y = at::tensor({13.0, 11.0, 12.0, 1.0, 4.0});
  const auto prompts = guard::within_prompt_moments(x, y, {0, 0, 0, 4, 4});
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_DOUBLE_EQ(prompts[0].xy, -1);
  EXPECT_DOUBLE_EQ(prompts[0].xx, 2);
  EXPECT_DOUBLE_EQ(prompts[0].yy, 2);
  EXPECT_DOUBLE_EQ(prompts[1].xy, 3);
  const auto pooled = guard::pooled_correlation(prompts, 0.05);
  EXPECT_DOUBLE_EQ(pooled.value, 2 / std::sqrt(4 * 6.5));
  EXPECT_TRUE(std::isnan(pooled.error));  // two prompts say nothing about its error
  EXPECT_FALSE(pooled.falls());
}

TEST(WithinPrompt, SeesNothingOfDifferencesBetweenPrompts) {
  const auto pooled = guard::pooled_correlation(simulated(24, 0.5, 1), 0.05);
  EXPECT_NEAR(pooled.value, 0.5, 0.15);
}

// 3 x 64 images have a standard error of about 0.08.
TEST(WithinPrompt, FindsACorrelationAtItsRateAndRarelyOneThatIsNotThere) {
  int found = 0, false_alarms = 0;
  double errors = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto gamed = guard::pooled_correlation(simulated(24, -0.25, seed), 0.05);
    found += gamed.falls();
    errors += gamed.error / 100;
    false_alarms += guard::pooled_correlation(simulated(24, 0, 1000 + seed), 0.05).falls();
  }
  EXPECT_NEAR(errors, 0.077, 0.02);
  EXPECT_GE(found, 75);
  EXPECT_LE(false_alarms, 12);
}

TEST(WithinPrompt, LeavesOutWhatIsNotFiniteAndPromptsOfOneImage) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor x = at::tensor({1.0, nan, 3.0, 5.0}), y = at::tensor({1.0, 2.0, 3.0, 5.0});
  EXPECT_EQ(guard::within_prompt_moments(x, y, {0, 0, 0, 1}).size(), 1u);
  EXPECT_EQ(guard::within_prompt_moments(x, y, {0, 0, 1, 2}).size(), 0u);
  EXPECT_EQ(guard::pooled_correlation({}, 0.05).value, 0);
  EXPECT_EQ(guard::pooled_correlation({{0, 0, 1}, {0, 0, 1}, {0, 0, 2}}, 0.05).value, 0);
  EXPECT_THROW(guard::within_prompt_moments(x, y, {0}), c10::Error);
}

}  // namespace
