#include "rewards/evaluation/grouped_ratio.hpp"

#include <gtest/gtest.h>

namespace {

TEST(GroupedRatio, SumsBeforeItDivides) {
  const auto ratio = rewards::grouped_ratio({0, 0, 7}, {1, 2, 3}, {1, 1, 4});
  EXPECT_NEAR(ratio.value, 1, 1e-12);
  EXPECT_LE(ratio.low, 0.75 + 1e-12);  // the second group alone
  EXPECT_GE(ratio.high, 1.5 - 1e-12);
  EXPECT_EQ(rewards::grouped_ratio({0}, {0}, {0}).value, 0);
}

}  // namespace
