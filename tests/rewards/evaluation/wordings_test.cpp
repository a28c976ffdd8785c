#include "rewards/evaluation/wordings.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using rewards::ranking_survives;
using rewards::WordedItem;
using rewards::wording_figures;

TEST(Wordings, SurviveWhereTheSamePicturesStayBelow) {
  EXPECT_TRUE(ranking_survives({0, {{5, 1, 9}, {4, 3, 4}, {7, 6, 8}}}));
  EXPECT_FALSE(ranking_survives({0, {{5, 1, 9}, {5, 1, 4}}}));
  EXPECT_FALSE(ranking_survives({0, {{5, 1}, {5, 5}}}));  // equal is not below
}

TEST(Wordings, DeviationByHand) {
  // Means 2 and 6 of the pictures, variance 4; over the wordings 1 and 1.
  const auto figures = wording_figures({{0, {{3, 5}, {1, 7}}}});
  EXPECT_EQ(figures.items, 1);
  EXPECT_NEAR(figures.deviation.value, 0.5, 1e-12);
  EXPECT_EQ(figures.survives.value, 1);
}

TEST(Wordings, DeviationHasNoUnitAndIsNoneWhereNothingChanges) {
  const WordedItem item{0, {{3, 5, 1}, {2, 7, 1}}}, other{0, {{31, 51, 11}, {21, 71, 11}}};
  EXPECT_NEAR(wording_figures({item}).deviation.value, wording_figures({other}).deviation.value,
              1e-12);
  EXPECT_EQ(wording_figures({{0, {{1, 2}, {1, 2}}}}).deviation.value, 0);
  EXPECT_EQ(wording_figures({{0, {{1, 1}, {1, 1}}}}).deviation.value, 0);
  EXPECT_TRUE(std::isinf(wording_figures({{0, {{1, 1}, {2, 2}}}}).deviation.value));
}

TEST(Wordings, HaveAnIntervalOverPrompts) {
  std::vector<WordedItem> items;
  for (int64_t i = 0; i < 40; ++i) items.push_back({i, {{2, 1}, {2, i % 2 ? 1.0 : 3.0}}});
  const auto figures = wording_figures(items);
  EXPECT_NEAR(figures.survives.value, 0.5, 1e-12);
  EXPECT_LT(figures.survives.low, 0.45);
  EXPECT_GT(figures.survives.high, 0.55);
}

}  // namespace
