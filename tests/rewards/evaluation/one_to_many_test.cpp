#include "rewards/evaluation/one_to_many.hpp"

#include <gtest/gtest.h>

namespace {

using rewards::one_to_many_figures;
using rewards::RankedItem;

TEST(OneToMany, GivesTheMeanReciprocalRankOfRanks124) {
  const std::vector<RankedItem> items{{0, 5, {1, 2, 3}}, {1, 5, {9, 2, 3}}, {2, 5, {9, 8, 7}}};
  const auto figures = one_to_many_figures(items);
  EXPECT_EQ(figures.items, 3);
  EXPECT_EQ(figures.ties, 0);
  EXPECT_NEAR(figures.reciprocal_rank.value, (1 + 0.5 + 0.25) / 3, 1e-12);
  EXPECT_NEAR(figures.one_to_many.value, 1.0 / 3, 1e-12);
  EXPECT_NEAR(figures.one_to_one.value, (1 + 2.0 / 3 + 0) / 3, 1e-12);
}

TEST(OneToMany, GivesAConstantRewardNothingByTheRuleOfTies) {
  const RankedItem item{0, 1, std::vector<double>(9, 1.0)};
  EXPECT_EQ(rewards::one_to_one(item), 0.5);
  EXPECT_FALSE(rewards::above_all(item));
  EXPECT_NEAR(rewards::reciprocal_rank(item), 1 / 5.5, 1e-12);
  EXPECT_EQ(one_to_many_figures({item}).ties, 9);
}

TEST(OneToMany, DoesNotDependOnTheUnitOrTheOrder) {
  const RankedItem item{0, 3, {1, 4, 2, 3}}, other{0, 70, {60, 70, 80, 50}};
  EXPECT_EQ(rewards::one_to_one(item), rewards::one_to_one(other));
  EXPECT_EQ(rewards::reciprocal_rank(item), rewards::reciprocal_rank(other));
}

TEST(OneToMany, HasAnIntervalOverPrompts) {
  std::vector<RankedItem> items;
  for (int64_t i = 0; i < 40; ++i) items.push_back({i / 2, i % 4 < 2 ? 2.0 : 0.0, {1}});
  const auto figures = one_to_many_figures(items);
  EXPECT_NEAR(figures.one_to_many.value, 0.5, 1e-12);
  EXPECT_LT(figures.one_to_many.low, 0.45);
  EXPECT_GT(figures.one_to_many.high, 0.55);
  for (auto& item : items) item.group = 0;  // a single prompt says nothing of others
  const auto one = one_to_many_figures(items);
  EXPECT_EQ(one.one_to_many.low, one.one_to_many.high);
}

}  // namespace
