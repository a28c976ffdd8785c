#include "rewards/labels/rules.hpp"

#include <gtest/gtest.h>

namespace {

using rewards::Fate;
using rewards::fates_of;
using rewards::LabelRules;
using rewards::relabelled;

TEST(LabelRules, FlipDropAndSoftenEightPairsAsOnPaper) {
  // In order of strength: pairs 2, 5, 0, 7, 3, 6, 1, 4.
  const std::vector<double> strengths{-1, 4, -5, 1, 6, -3, 2, 0};
  const LabelRules rules{.flip = 0.25, .drop_from = 0.25, .drop_to = 0.5, .soften = 0.125};
  const std::vector<Fate> expected{Fate::kDropped,  Fate::kKept,    Fate::kFlipped, Fate::kKept,
                                   Fate::kSoftened, Fate::kFlipped, Fate::kKept,    Fate::kDropped};
  EXPECT_EQ(fates_of(strengths, rules), expected);
}

TEST(LabelRules, WithoutSharesKeepEverything) {
  for (const Fate fate : fates_of({3, -2, 0}, {})) EXPECT_EQ(fate, Fate::kKept);
  EXPECT_TRUE(fates_of({}, {.flip = 0.5}).empty());
}

TEST(LabelRules, TakeTheEarlierOfEqualStrengthsAsWeaker) {
  EXPECT_EQ(fates_of({1, 1, 1, 1}, {.flip = 0.25, .soften = 0.25}),
            (std::vector<Fate>{Fate::kFlipped, Fate::kKept, Fate::kKept, Fate::kSoftened}));
}

TEST(LabelRules, FlipTwiceWithoutAnyChange) {
  for (const double p : {0.0, 0.25, 1.0})
    EXPECT_EQ(relabelled(relabelled(p, Fate::kFlipped, 0.9), Fate::kFlipped, 0.9), p);
}

TEST(LabelRules, SoftenOnTheWinnersSide) {
  EXPECT_EQ(relabelled(1, Fate::kSoftened, 0.9), 0.9);
  EXPECT_DOUBLE_EQ(relabelled(0, Fate::kSoftened, 0.9), 0.1);
  EXPECT_EQ(relabelled(1, Fate::kKept, 0.9), 1);
}

TEST(LabelRules, GiveNoMarginToALoser) {
  EXPECT_EQ(rewards::adaptive_margin(1.5), 1.5);
  EXPECT_EQ(rewards::adaptive_margin(-1.5), 0);
}

TEST(LabelRules, SayWhatIsWrongWithThem) {
  EXPECT_EQ(rewards::fault_of({.flip = 0.2, .drop_from = 0.2, .drop_to = 0.4, .soften = 0.6}), "");
  EXPECT_NE(rewards::fault_of({.flip = 0.3, .drop_from = 0.2, .drop_to = 0.4}), "");
  EXPECT_NE(rewards::fault_of({.drop_from = 0.4, .drop_to = 0.2}), "");
  EXPECT_NE(rewards::fault_of({.flip = 0.5, .soften = 0.6}), "");
  EXPECT_NE(rewards::fault_of({.flip = 1.5}), "");
  EXPECT_NE(rewards::fault_of({.soft_label = 0.5}), "");
}

TEST(LabelRules, HaveNames) {
  EXPECT_EQ(name_of(Fate::kKept), "kept");
  EXPECT_EQ(name_of(Fate::kFlipped), "flipped");
  EXPECT_EQ(name_of(Fate::kDropped), "dropped");
  EXPECT_EQ(name_of(Fate::kSoftened), "softened");
}

}  // namespace
