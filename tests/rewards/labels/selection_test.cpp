#include "rewards/labels/selection.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace {

using rewards::LabelledPair;

const double kNone = std::nan("");

TEST(MergedLabels, LeaveOutAPairThatStandsInBothOrdersWithOppositeLabels) {
  // 0 over 1, then asked as (1, 0) with 1 first: a contradiction. 2 over 3 in both orders: one
  // label.
  const auto found = rewards::merged_labels({{.a = 0, .b = 1, .p = 1},
                                             {.a = 2, .b = 3, .p = 1},
                                             {.a = 1, .b = 0, .p = 1},
                                             {.a = 3, .b = 2, .p = 0}});
  EXPECT_EQ(found.contradictory, 1);
  ASSERT_EQ(found.pairs.size(), 1u);
  EXPECT_EQ(found.pairs[0].a, 2);
  EXPECT_EQ(found.pairs[0].p, 1);
  EXPECT_EQ(found.pairs[0].weight, 1);
}

TEST(MergedLabels, TakeTheMajorityByWeight) {
  const auto found = rewards::merged_labels({{.a = 0, .b = 1, .p = 1, .weight = 1, .person = 0},
                                             {.a = 0, .b = 1, .p = 0, .weight = 3, .person = 1},
                                             {.a = 1, .b = 0, .p = 0.5, .weight = 2, .person = 0}});
  ASSERT_EQ(found.pairs.size(), 1u);
  EXPECT_EQ(found.pairs[0].p, 0);
  EXPECT_DOUBLE_EQ(found.pairs[0].weight, 2.0 / 3);
  EXPECT_EQ(found.pairs[0].person, -1);
}

TEST(MergedLabels, KeepTiesAndPromptsApart) {
  const auto found = rewards::merged_labels({{.prompt = 0, .a = 0, .b = 1, .p = 0.5, .weight = 4},
                                             {.prompt = 1, .a = 0, .b = 1, .p = 0, .person = 2}});
  ASSERT_EQ(found.pairs.size(), 2u);
  EXPECT_EQ(found.pairs[0].p, 0.5);
  EXPECT_EQ(found.pairs[0].weight, 4);
  EXPECT_EQ(found.pairs[1].person, 2);
  EXPECT_TRUE(rewards::merged_labels({}).pairs.empty());
}

TEST(Consensus, IsTheSamePictureOrNone) {
  EXPECT_TRUE(rewards::placed_alike(1, 0.6));
  EXPECT_TRUE(rewards::placed_alike(0.5, 0.5));
  EXPECT_FALSE(rewards::placed_alike(1, 0));
  EXPECT_FALSE(rewards::placed_alike(1, 0.5));
  EXPECT_FALSE(rewards::placed_alike(0.5, 0.2));
}

TEST(DuelThenPoint, SetsTheBestWinnerAgainstTheWorstLoser) {
  // Prompt 7: winners 0, 2, 4 with 3, 10, 9 points, losers 1, 3, 5 with 2, 8, 4. As texts "9" is
  // above "10" and "10" below "2".
  const std::vector<double> points{3, 2, 10, 8, 9, 4};
  const std::vector<LabelledPair> duels{{.prompt = 7, .a = 0, .b = 1, .p = 1},
                                        {.prompt = 7, .a = 3, .b = 2, .p = 0},
                                        {.prompt = 7, .a = 4, .b = 5, .p = 1}};
  const auto found = rewards::duel_then_point(duels, points, 8);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].prompt, 7);
  EXPECT_EQ(found[0].a, 2);
  EXPECT_EQ(found[0].b, 1);
  EXPECT_EQ(found[0].p, 1);
  EXPECT_TRUE(rewards::duel_then_point(duels, points, 8.5).empty());
}

TEST(DuelThenPoint, PassesOverWhatIsUndecidedUnknownOrThePictureItself) {
  EXPECT_TRUE(rewards::duel_then_point({{.a = 0, .b = 1, .p = 0.5}}, {3, 1}, 0).empty());
  EXPECT_TRUE(rewards::duel_then_point({{.a = 0, .b = 1, .p = 1}}, {kNone, 1}, 0).empty());
  EXPECT_TRUE(rewards::duel_then_point({{.a = 0, .b = 1, .p = 1}}, {2, 2}, 0).empty());
  // 0 beats 1, 1 beats 2: the best winner, 1 of 9 points, is no loser against itself but against 2.
  const auto found =
      rewards::duel_then_point({{.a = 0, .b = 1, .p = 1}, {.a = 1, .b = 2, .p = 1}}, {5, 9, 7}, 0);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].a, 1);
  EXPECT_EQ(found[0].b, 2);
  EXPECT_TRUE(
      rewards::duel_then_point({{.a = 0, .b = 1, .p = 1}, {.a = 1, .b = 0, .p = 1}}, {5, 5}, 0)
          .empty());
}

TEST(BestOfEach, KeepsANumberOrAShareOfEachPrompt) {
  const std::vector<double> scores{1, 5, 3, 2, kNone, 4, 4};
  const std::vector<int64_t> prompts{0, 0, 1, 0, 0, 1, 1};
  EXPECT_EQ(rewards::best_of_each(scores, prompts, 1), (std::vector<int64_t>{1, 5}));
  EXPECT_EQ(rewards::best_of_each(scores, prompts, 2), (std::vector<int64_t>{1, 3, 5, 6}));
  EXPECT_EQ(rewards::best_of_each(scores, prompts, 0.34), (std::vector<int64_t>{1, 3, 5, 6}));
  EXPECT_EQ(rewards::best_of_each(scores, prompts, 9).size(), 6u);
  EXPECT_TRUE(rewards::best_of_each({kNone}, {0}, 1).empty());
}

TEST(BestOfEach, KeepsThreeOfTenByAShareOfThreeTenths) {
  const std::vector<double> scores(10, 1.0);
  EXPECT_EQ(rewards::best_of_each(scores, std::vector<int64_t>(10, 0), 0.3),
            (std::vector<int64_t>{0, 1, 2}));
}

TEST(BestOfEach, KeepsNothingWorseThanWhatItLeaves) {
  std::vector<double> scores;
  for (int i = 0; i < 50; ++i) scores.push_back(i * 37 % 50);
  const auto kept = rewards::best_of_each(scores, std::vector<int64_t>(50, -1), 12);
  ASSERT_EQ(kept.size(), 12u);
  for (const int64_t i : kept) EXPECT_GE(scores[static_cast<size_t>(i)], 38);
}

}  // namespace
