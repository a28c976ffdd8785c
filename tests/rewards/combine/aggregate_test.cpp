#include "rewards/combine/aggregate.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/support/refusal.hpp"

namespace {

at::Tensor rows(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}
double at_row(const at::Tensor& x, int64_t i) { return x[i].item<double>(); }

TEST(Aggregate, EachKindByHand) {
  const at::Tensor x = rows({1, 2, 6, 4, 4, 4}, 3);
  const auto first = [&](const char* name, double k = 1, double tau = 1) {
    return at_row(rewards::aggregate(x, {&rewards::aggregate_by_name(name), tau, k}), 0);
  };
  EXPECT_DOUBLE_EQ(first("sum"), 9);
  EXPECT_DOUBLE_EQ(first("mean"), 3);
  EXPECT_DOUBLE_EQ(first("min"), 1);
  EXPECT_DOUBLE_EQ(first("median"), 2);
  const at::Tensor four = rows({8, 1, 2, 100}, 4);
  EXPECT_DOUBLE_EQ(
      at_row(rewards::aggregate(four, {&rewards::aggregate_by_name("median"), 1, 1}), 0), 5);
  EXPECT_NEAR(first("soft_min", 1, 1e-3), 1, 2e-3);
  EXPECT_NEAR(first("soft_min", 1, 1e6), 3, 1e-5);
  EXPECT_NEAR(first("soft_min"), -std::log((std::exp(-1) + std::exp(-2) + std::exp(-6)) / 3),
              1e-12);
  // deviations -2, -1, 3: the population's variance is 14 / 3
  EXPECT_NEAR(first("mean_std", 2), 3 - 2 * std::sqrt(14.0 / 3), 1e-12);
  EXPECT_NEAR(first("uncertainty", 0.5), 3 - 0.5 * 14 / 3, 1e-12);
  for (const char* name : {"mean", "median", "min", "soft_min", "mean_std", "uncertainty"})
    EXPECT_NEAR(at_row(rewards::aggregate(x, {&rewards::aggregate_by_name(name), 1, 1}), 1), 4,
                1e-12)
        << name;  // members that agree
  EXPECT_NE(refusal([] { rewards::aggregate_by_name("max"); }).find("found 'max'"),
            std::string::npos);
  EXPECT_THROW(rewards::aggregate(x, {&rewards::aggregate_by_name("soft_min"), 0, 1}), c10::Error);
}

// Three members of a reward, five images.
const at::Tensor& five_images() {
  static const at::Tensor x = rows({1, 2, 3, 2, 2, 2, 4, 1, 1, 0, 3, 3, 3, 3, 6}, 3);
  return x;
}

TEST(Aggregate, ThreeMembersFiveImagesByHand) {
  const auto totals = [](const char* name, double k, double nominal, const at::Tensor& gains) {
    return rewards::aggregate(
        five_images(),
        {.kind = &rewards::aggregate_by_name(name), .k = k, .nominal = nominal, .gains = gains});
  };
  const auto expect = [&](const at::Tensor& found, std::vector<double> wanted) {
    EXPECT_TRUE(at::allclose(found, at::tensor(wanted, at::kDouble), 0, 1e-12)) << found;
  };
  expect(totals("mean", 1, 0, {}), {2, 2, 2, 2, 4});
  expect(totals("median", 1, 0, {}), {2, 2, 1, 3, 3});
  expect(totals("min", 1, 0, {}), {1, 2, 1, 0, 3});
  // variances 2/3, 0, 2, 2, 2
  expect(totals("uncertainty", 0.5, 0, {}), {2 - 1.0 / 3, 2, 1, 1, 3});
  // squared distances from the mean sum to 10, 3, 7: the second is nominal. The third gained least.
  const at::Tensor gains = at::tensor({0.5, 0.9, 0.2}, at::kDouble);
  expect(totals("robust", 1, 0.2, gains), {2.8, 2, 1, 3, 5.4});
  expect(totals("robust", 1, 0.5, gains), {2.5, 2, 1, 3, 4.5});
  expect(totals("robust", 1, 1, gains), {2, 2, 1, 3, 3});
  expect(totals("robust", 1, 0, gains), {3, 2, 1, 3, 6});
  // Nothing has been gained yet: all of them are the worst.
  expect(totals("robust", 1, 0.5, {}), {2, 2, 1.5, 2.5, 3.5});
}

TEST(Aggregate, RobustLeavesBrokenImagesOut) {
  at::Tensor x = five_images().clone();
  x[3][0] = std::nan("");
  const at::Tensor found = rewards::aggregate(
      x, {.kind = &rewards::aggregate_by_name("robust"), .nominal = 1, .gains = {}});
  EXPECT_TRUE(std::isnan(found[3].item<double>()));
  EXPECT_TRUE(found.isfinite().sum().item<int64_t>() == 4) << found;
}

TEST(Aggregate, ActsInsideTheMembersOfEachReward) {
  // Columns 0 and 1 are members of a reward of weight 1, half for each; column 2 stands alone.
  const at::Tensor x = rows({1, 2, 3, 2, 0, 5}, 3);
  rewards::AggregateOptions options{.kind = &rewards::aggregate_by_name("min"),
                                    .groups = {{0, 1}, {2}}};
  EXPECT_TRUE(at::equal(rewards::aggregate(x, options), at::tensor({5.0, 5.0}, at::kDouble)));
  options.kind = &rewards::kSum;
  EXPECT_TRUE(at::equal(rewards::aggregate(x, options), at::tensor({6.0, 7.0}, at::kDouble)));
}

TEST(Aggregate, NamesAreDistinctAndDescribed) {
  const auto names = rewards::aggregate_names(true);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  for (const auto* row : rewards::aggregates()) EXPECT_STRNE(row->description, "") << row->name;
  const auto of_scoring = rewards::aggregate_names(false);
  EXPECT_EQ(std::count(of_scoring.begin(), of_scoring.end(), "robust"), 0);
  EXPECT_EQ(std::count(of_scoring.begin(), of_scoring.end(), "median"), 1);
}

}  // namespace
