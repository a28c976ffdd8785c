#include "rewards/evaluation/herding.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace {

TEST(Herding, EqualMembersErrTogether) {
  const auto z = at::arange(100, at::kDouble).unsqueeze(1).expand({100, 3});
  const auto found = rewards::herding(z, 0.2);
  EXPECT_NEAR(found.correlation, 1, 1e-12);
  EXPECT_EQ(found.top, 20);
  ASSERT_EQ(found.of.size(), 3U);
  EXPECT_NEAR(found.of[0].correlation, 1, 1e-12);
  EXPECT_DOUBLE_EQ(found.of[0].own, 89.5);
  EXPECT_DOUBLE_EQ(found.of[0].others, 89.5);
}

TEST(Herding, MembersThatPartAtTheTopDoNot) {
  // They agree on 980 images; each rates ten of its own far above the others.
  auto z = at::arange(1000, at::kDouble).div(1000).unsqueeze(1).repeat({1, 2});
  z.slice(0, 0, 10).select(1, 0).copy_(10 + at::arange(10, at::kDouble));
  z.slice(0, 10, 20).select(1, 1).copy_(10 + at::arange(10, at::kDouble));
  const auto found = rewards::herding(z, 0.01);
  // The ranks of 20 images differ by 990, all others are equal: 1 - 6 sum d^2 / (n^3 - n).
  EXPECT_NEAR(found.correlation, 1 - 6 * 20 * 990.0 * 990 / (1e9 - 1e3), 1e-12);
  EXPECT_DOUBLE_EQ(found.of[0].own, 14.5);
  EXPECT_NEAR(found.of[0].others, 0.0045, 1e-12);
  EXPECT_NEAR(found.of[1].others, 0.0145, 1e-12);
}

TEST(Herding, IndependentMembersHaveNoCorrelation) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto found = rewards::herding(at::randn({4000, 3}, generator, at::kDouble), 0.01);
  EXPECT_NEAR(found.correlation, 0, 0.05);
  EXPECT_GT(found.of[2].own, 2);
  EXPECT_NEAR(found.of[2].others, 0, 0.5);
  EXPECT_THROW(rewards::herding(at::zeros({4000, 1}), 0.01), c10::Error);
  EXPECT_THROW(rewards::herding(at::zeros({40, 2}), 0), c10::Error);
}

}  // namespace
