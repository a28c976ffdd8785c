#include "rewards/combine/prompt_groups.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(IdsOfTexts, NumberAsTheyFirstOccur) {
  EXPECT_EQ(rewards::ids_of_texts({"b", "a", "b"}), (std::vector<int64_t>{0, 1, 0}));
}

TEST(PromptGroups, AreInOrderOfFirstAppearanceWithoutRowsThatAreNotFinite) {
  const at::Tensor rewards = at::tensor({1.0, 2.0, std::nan(""), 4.0}, at::kDouble);
  EXPECT_EQ(rewards::prompt_groups(rewards, {7, 3, 7, 7}),
            (std::vector<std::vector<int64_t>>{{0, 3}, {1}}));
  EXPECT_EQ(rewards::rows_of_groups({7, 3, 7, 7}),
            (std::vector<std::vector<int64_t>>{{1}, {0, 2, 3}}));
}

TEST(SpreadWithinPrompts, IgnoresTheDifferenceBetweenPrompts) {
  const at::Tensor rewards =
      at::tensor({0.0, 2.0, 100.0, 104.0, 7.0}, at::kDouble);  // variances 2 and 8
  EXPECT_NEAR(rewards::spread_within_prompts(rewards, {0, 0, 1, 1, 2}), std::sqrt(5.0), 1e-12);
  EXPECT_EQ(rewards::spread_within_prompts(rewards, {0, 1, 2, 3, 4}), 0);
}

}  // namespace
