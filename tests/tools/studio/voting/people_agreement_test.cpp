#include "tools/studio/voting/people_agreement.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using studio::Preferences;

studio::StandingVote vote(int64_t person, int64_t left, int64_t right, const std::string& answer) {
  return {.vote = 1,
          .pair = {.id = 1, .person = person, .left = left, .right = right},
          .answer = answer};
}

TEST(Preferences, AreOfThePictureWithTheSmallerNumber) {
  auto again = vote(1, 2, 1, "left");
  again.pair.repeats = 1;
  const auto found = studio::preferences_of(
      {vote(1, 1, 2, "left"), vote(1, 4, 3, "left"), vote(1, 5, 6, "both_bad"),
       vote(1, 7, 8, "skip"), vote(2, 1, 2, "right"), again},
      1, false);
  EXPECT_EQ(found, (Preferences{{{1, 2}, 1}, {{3, 4}, -1}, {{5, 6}, 0}}));
  EXPECT_EQ(studio::preferences_of({again}, 1, true), (Preferences{{{1, 2}, -1}}));
  EXPECT_TRUE(studio::preferences_of({again}, 1, false).empty());
}

TEST(CohensKappa, ByHand) {
  // Ten pairs of both: eight alike (six decided, two equal), one other way round, one equal for the
  // second alone. Chance: 8 x 7 / 2 + 2 x 3 of 100.
  Preferences one, other;
  for (int i = 0; i < 10; ++i) {
    one[{i, 100}] = i < 8 ? 1 : 0;
    other[{i, 100}] = i < 6 ? 1 : i == 6 ? -1 : 0;
  }
  one[{50, 100}] = 1;  // of one alone
  const auto found = studio::cohens_kappa(one, other);
  EXPECT_EQ(found.pairs, 10);
  EXPECT_DOUBLE_EQ(found.share.value, 0.8);
  EXPECT_NEAR(found.kappa, (0.8 - 0.34) / (1 - 0.34), 1e-12);
}

TEST(CohensKappa, DoesNotDependOnWhichPictureIsFirst) {
  Preferences one, other, one_turned, other_turned;
  for (int i = 0; i < 12; ++i) {
    one[{i, 100}] = i % 3 - 1;
    other[{i, 100}] = i % 2 ? one[{i, 100}] : 1;
    one_turned[{i, 100}] = i % 5 ? one[{i, 100}] : -one[{i, 100}];
    other_turned[{i, 100}] = i % 5 ? other[{i, 100}] : -other[{i, 100}];
  }
  EXPECT_DOUBLE_EQ(studio::cohens_kappa(one, other).kappa,
                   studio::cohens_kappa(one_turned, other_turned).kappa);
}

TEST(CohensKappa, IsOneForTheSameAnswersAndUndefinedWithoutAny) {
  const Preferences one{{{1, 2}, 1}, {{3, 4}, -1}}, equal{{{1, 2}, 0}};
  EXPECT_DOUBLE_EQ(studio::cohens_kappa(one, one).kappa, 1);
  EXPECT_TRUE(std::isnan(studio::cohens_kappa(one, {}).kappa));
  EXPECT_TRUE(std::isnan(studio::cohens_kappa(equal, equal).kappa));
  EXPECT_DOUBLE_EQ(studio::kappa_of_share(0.75), 0.5);
}

TEST(KrippendorffsAlpha, ByHand) {
  // Three pairs, answers (1, 1), (1, -1), (0, 0): of six answers four agree with their partner.
  // Chance with two of each kind: (2 x 1 + 2 x 1 + 2 x 1) / 30.
  const Preferences one{{{1, 2}, 1}, {{3, 4}, 1}, {{5, 6}, 0}, {{7, 8}, 1}};
  const Preferences other{{{1, 2}, 1}, {{3, 4}, -1}, {{5, 6}, 0}};
  const auto found = studio::krippendorffs_alpha({one, other});
  EXPECT_EQ(found.pairs, 3);
  EXPECT_NEAR(found.value, (4.0 / 6 - 0.2) / 0.8, 1e-12);
  EXPECT_DOUBLE_EQ(studio::krippendorffs_alpha({one, one, one}).value, 1);
  EXPECT_TRUE(std::isnan(studio::krippendorffs_alpha({one}).value));
}

}  // namespace
