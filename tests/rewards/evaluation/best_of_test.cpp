// Reward models examined: pairwise accuracy under its five definitions, best-of-n.

#include "rewards/evaluation/best_of.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rewards/evaluation/pair_accuracy.hpp"

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Prompt 0: right, wrong, predicted tie, right. Prompt 1: a truth tie of unequal scores, a truth
// tie of equal scores, right. One pair without a score.
std::vector<rewards::ScoredPair> pairs() {
  return {{0, 2, 1, 1},   {0, 1, 2, 1},   {0, 3, 3, 1}, {0, 1, 2, 0},
          {1, 1, 5, 0.5}, {1, 4, 4, 0.5}, {1, 9, 1, 1}, {2, kNan, 1, 1}};
}

TEST(PairAccuracy, EachPublishedDefinitionByHand) {
  const double expected[] = {3.0 / 5,                      // imagereward: 2 + 1 of 4 + 1
                             (2.0 / 4 + 1) / 2,            // hpsv2: the same, by prompt
                             (3.0 / 4 + 1) / 2,            // hpdv2: ties of either kind right
                             (2 + 0.5 + 0.5 + 1 + 1) / 7,  // pickscore: half where one says tie
                             4.0 / 5};                     // social: >= counts
  const auto rules = rewards::published_rules(0);
  ASSERT_EQ(rules.size(), 5u);
  for (size_t i = 0; i < rules.size(); ++i) {
    const auto accuracy = rewards::pair_accuracy(pairs(), rules[i]);
    EXPECT_NEAR(accuracy.value, expected[i], 1e-12) << rules[i].name;
    EXPECT_LE(accuracy.low, accuracy.value);
    EXPECT_GE(accuracy.high, accuracy.value);
  }
  EXPECT_EQ(rewards::pair_accuracy(pairs(), rules[0]).pairs, 5);
  EXPECT_EQ(rewards::pair_accuracy(pairs(), rules[3]).pairs, 7);
  EXPECT_EQ(rewards::text_of(rules[1]), "truth ties skipped, predicted ties wrong, over prompts");
}

TEST(PairAccuracy, SwappingTheSidesChangesNothing) {
  auto swapped = pairs();
  for (auto& pair : swapped) {
    std::swap(pair.a, pair.b);
    pair.label = 1 - pair.label;
  }
  for (const auto& rule : rewards::published_rules(0.1))
    EXPECT_DOUBLE_EQ(rewards::pair_accuracy(swapped, rule).value,
                     rewards::pair_accuracy(pairs(), rule).value)
        << rule.name;
}

TEST(PairAccuracy, NothingThatCountsIsNoNumber) {
  EXPECT_TRUE(
      std::isnan(rewards::pair_accuracy({{0, 1, 1, 0.5}}, rewards::published_rules(0)[0]).value));
}

TEST(PairAccuracy, TheTunedThresholdCallsCloseScoresTies) {
  // Ties of the truth differ by 0.1, the others by 2: any threshold between parts them.
  std::vector<rewards::ScoredPair> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back({i, 0, 0.1, 0.5});
    all.push_back({i, 2, 0, 1});
  }
  const double threshold = rewards::tuned_threshold(all);
  EXPECT_GE(threshold, std::tanh(0.05));
  EXPECT_LT(threshold, std::tanh(1.0));
  EXPECT_DOUBLE_EQ(rewards::pair_accuracy(all, rewards::published_rules(threshold)[3]).value, 1);
  EXPECT_DOUBLE_EQ(rewards::pair_accuracy(all, rewards::published_rules(0)[3]).value, 0.75);
}

TEST(BestOfN, EqualsTheMeanOverAllSubsets) {
  const std::vector<double> proxy{3, 1, 4, 2}, gold{10, 20, 0, 40};
  EXPECT_NEAR(rewards::best_of_n(proxy, gold, 1), 70.0 / 4, 1e-12);
  // Pairs: {3,1}->10 {3,4}->0 {3,2}->10 {1,4}->0 {1,2}->40 {4,2}->0
  EXPECT_NEAR(rewards::best_of_n(proxy, gold, 2), 60.0 / 6, 1e-12);
  EXPECT_NEAR(rewards::best_of_n(proxy, gold, 4), 0, 1e-12);
  EXPECT_NEAR(rewards::best_of_n({1, 1, 1}, {3, 6, 9}, 2), 6, 1e-12);  // ties share
  EXPECT_THROW(rewards::best_of_n(proxy, gold, 5), std::exception);
  EXPECT_NEAR(rewards::best_of_n_kl(4), std::log(4) - 0.75, 1e-12);
}

TEST(BestOfN, TheCurveShowsTheTurn) {
  // The best by proxy is bad by gold: gold rises, then falls.
  const rewards::PromptSamples one{{1, 2, 3, 4, 5}, {0, 1, 2, 3, -9}};
  const auto curve = rewards::best_of_curve({one, one});
  ASSERT_EQ(curve.size(), 4u);  // 1, 2, 4, 5
  EXPECT_EQ(curve[3].n, 5);
  EXPECT_EQ(curve[0].kl, 0);
  EXPECT_NEAR(curve[0].gold, -0.6, 1e-12);
  EXPECT_NEAR(curve[3].gold, -9, 1e-9);
  EXPECT_NEAR(curve[3].proxy, 5, 1e-9);
  EXPECT_LE(curve[1].gold_low, curve[1].gold);
}

}  // namespace
