#include "rewards/evaluation/wilson.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(Wilson, ByHand) {
  // (0.8 + 1.9208 / 10) / 1.38416 -+ 1.96 / 1.38416 sqrt(0.016 + 3.8416 / 400)
  const auto found = rewards::wilson(8, 10);
  EXPECT_NEAR(found.value, 0.8, 1e-12);
  EXPECT_NEAR(found.low, 0.4902, 1e-4);
  EXPECT_NEAR(found.high, 0.9433, 1e-4);
}

TEST(Wilson, StaysInsideAndIsSymmetric) {
  for (const double successes : {0.0, 0.5, 3.0, 7.0}) {
    const auto found = rewards::wilson(successes, 7), other = rewards::wilson(7 - successes, 7);
    EXPECT_GE(found.low, 0);
    EXPECT_LE(found.low, found.value);
    EXPECT_GE(found.high, found.value);
    EXPECT_NEAR(found.low, 1 - other.high, 1e-12);
  }
}

TEST(Wilson, IsNotANumberWithoutTrials) {
  EXPECT_TRUE(std::isnan(rewards::wilson(0, 0).value));
  EXPECT_TRUE(std::isnan(rewards::wilson(0, 0).high));
}

}  // namespace
