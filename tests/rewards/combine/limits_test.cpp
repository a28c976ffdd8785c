#include "rewards/combine/limits.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/refusal.hpp"

namespace {

at::Tensor rows(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}
double at_row(const at::Tensor& x, int64_t i) { return x[i].item<double>(); }

TEST(Caps, LimitWhatThereIsToEarn) {
  const auto caps = rewards::parse_caps("b=..2, a=-1..1", {"a", "b", "c"});
  const at::Tensor x = rewards::capped(rows({5, 5, 5, -5, -5, -5}, 3), caps);
  EXPECT_TRUE(x.equal(rows({1, 2, 5, -1, -5, -5}, 3)));
  for (const char* wrong : {"a", "a=2", "d=..2", "a=x..2", "a=3..2"})
    EXPECT_NE(refusal([&] { rewards::parse_caps(wrong, {"a"}); }).find("caps: '"),
              std::string::npos)
        << wrong;
}

TEST(Constraints, MultipliersRiseWhileViolatedAndFallToZero) {
  const auto constraints = rewards::parse_constraints("b>=4,a<=1", {"a", "b"});
  ASSERT_EQ(constraints.size(), 2u);
  const at::Tensor x = rows({0, 1, 2, 3}, 2), spreads = at::tensor({1.0, 2.0}, at::kDouble);
  // Means 1 and 2: b misses 4 by 2 (one spread), a stands at its bound.
  const at::Tensor once =
      rewards::stepped_multipliers(at::zeros({2}, at::kDouble), constraints, x, spreads, 0.5);
  EXPECT_DOUBLE_EQ(at_row(once, 0), 0.5);
  EXPECT_DOUBLE_EQ(at_row(once, 1), 0);
  const at::Tensor terms = rewards::constraint_terms(once, constraints, x, spreads);
  EXPECT_DOUBLE_EQ(at_row(terms, 1), 0.5 * 3 / 2);
  const at::Tensor back = rewards::stepped_multipliers(once, constraints, x + 20, spreads, 0.5);
  EXPECT_DOUBLE_EQ(at_row(back, 0), 0);         // well satisfied: never below 0
  EXPECT_DOUBLE_EQ(at_row(back, 1), 0.5 * 20);  // a is now far above 1
  for (const char* wrong : {"a", "a>1", "c>=1", "a>=x", "a=", "a==1"})
    EXPECT_NE(refusal([&] {
                rewards::parse_constraints(wrong, {"a", "b"});
              }).find("constraints: '"),
              std::string::npos)
        << wrong;
}

// tanh of a number that steps by rate (threshold - mean) / spread.
TEST(Constraints, AnEqualityPushesFromBothSides) {
  const auto constraints = rewards::parse_constraints("a=4", {"a"});
  ASSERT_EQ(constraints.size(), 1u);
  EXPECT_TRUE(constraints[0].is_equality);
  const at::Tensor spreads = at::tensor({2.0}, at::kDouble), zero = at::zeros({1}, at::kDouble);
  const auto step = [&](const at::Tensor& before, double mean) {
    return rewards::stepped_multipliers(before, constraints, rows({mean}, 1), spreads, 0.5);
  };
  const at::Tensor below = step(zero, 2), above = step(below, 8);
  EXPECT_NEAR(at_row(below, 0), std::tanh(0.5), 1e-12);
  EXPECT_NEAR(at_row(above, 0), std::tanh(0.5 - 1), 1e-12);
  EXPECT_NEAR(at_row(rewards::constraint_terms(above, constraints, rows({8}, 1), spreads), 0),
              std::tanh(-0.5) * 8 / 2, 1e-12);
  at::Tensor far = zero;
  for (int i = 0; i < 100; ++i) far = step(far, -1000);
  EXPECT_LT(at_row(far, 0), 1);  // and finds the way back
  for (int i = 0; i < 100; ++i) far = step(far, 1000);
  EXPECT_GT(at_row(far, 0), -1);
  EXPECT_LT(at_row(far, 0), -0.9);
}

}  // namespace
