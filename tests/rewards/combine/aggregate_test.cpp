#include "rewards/combine/aggregate.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

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

TEST(Aggregate, NamesAreDistinctAndDescribed) {
  const auto names = rewards::aggregate_names();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  for (const auto* row : rewards::aggregates()) EXPECT_STRNE(row->description, "") << row->name;
}

}  // namespace
