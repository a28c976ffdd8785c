#include "tools/studio/voting/ballot.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/fresh_folder.hpp"
#include "tests/support/studio_pictures.hpp"

namespace {

struct BallotTest : testing::Test {
  tests::DrawnStore drawn{tests::fresh_folder(), 6, 12};
  data::Database& database = drawn.store.database;
  int64_t ada = studio::person_named(database, "Ada").id;

  studio::Ballot ballot(uint64_t seed = 1) {
    return {database, drawn.pool,
            studio::draw_to_learn(drawn.pool, [](int64_t) { return studio::Worth(); }), false,
            seed};
  }
  // Answers the pair that waits, always for the brighter picture.
  std::string answer(studio::Ballot& on, int64_t person) {
    const auto pair = on.queue(person).front();
    const std::string side = pair.left % 12 > pair.right % 12 ? "left" : "right";
    EXPECT_TRUE(on.vote(person, pair.id, side, 100));
    return side;
  }
};

TEST_F(BallotTest, ShowsAPairUntilItIsAnswered) {
  auto on = ballot();
  const auto first = on.queue(ada);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(on.queue(ada).front().id, first.front().id);
  EXPECT_EQ(ballot(99).queue(ada).front().id, first.front().id);  // after a new start too
  EXPECT_TRUE(on.vote(ada, first[0].id, "tie", 5));
  EXPECT_EQ(on.queue(ada).front().id, first[1].id);
  EXPECT_FALSE(on.vote(ada, first[0].id, "left", 5));  // answered
  EXPECT_FALSE(on.vote(studio::person_named(database, "Bob").id, first[1].id, "left", 5));
  EXPECT_EQ(on.counts(ada).answered, 1);
  EXPECT_EQ(on.counts(ada).ties, 1);
}

TEST_F(BallotTest, UndoneAnswersAreAskedAgainInReverse) {
  auto on = ballot();
  const int64_t first = on.queue(ada).front().id;
  answer(on, ada);
  const int64_t second = on.queue(ada).front().id;
  answer(on, ada);
  EXPECT_TRUE(on.undo(ada));
  EXPECT_EQ(on.queue(ada).front().id, second);
  EXPECT_TRUE(on.undo(ada));
  EXPECT_EQ(on.queue(ada).front().id, first);
  EXPECT_FALSE(on.undo(ada));
  EXPECT_EQ(on.counts(ada).answered, 0);
  answer(on, ada);
  EXPECT_EQ(on.queue(ada).front().id, second);
}

TEST_F(BallotTest, HoldsOutASeventhAndAsksATenthTwice) {
  auto on = ballot();
  std::map<int64_t, studio::ShownPair> shown;
  for (int i = 0; i < 200; ++i) {
    const auto pair = on.queue(ada).front();
    shown[pair.id] = pair;
    if (pair.repeats) {
      const auto& before = shown.at(*pair.repeats);
      EXPECT_EQ(before.left, pair.right);
      EXPECT_EQ(before.right, pair.left);
      EXPECT_EQ(before.purpose, pair.purpose);
      EXPECT_GE(pair.id - before.id, 8);
    }
    const auto& a = drawn.pool.images[drawn.pool.number_of.at(pair.left)];
    const auto& b = drawn.pool.images[drawn.pool.number_of.at(pair.right)];
    EXPECT_EQ(studio::is_held_out(a, b), pair.purpose == studio::kHeldOut);
    answer(on, ada);
  }
  const auto counts = on.counts(ada);
  EXPECT_EQ(counts.answered, 200);
  EXPECT_NEAR(static_cast<double>(counts.held_out) / 200, 0.15, 0.09);
  EXPECT_NEAR(static_cast<double>(counts.repeated) / 200, 0.10, 0.07);
  EXPECT_EQ(counts.again, counts.repeated);
  EXPECT_EQ(counts.same_again, counts.again);  // the brighter one, both times
  const auto anew = ballot(5).counts(ada);
  EXPECT_EQ(anew.answered, 200);
  EXPECT_EQ(anew.same_again, counts.same_again);
  EXPECT_EQ(anew.held_out, counts.held_out);
}

TEST_F(BallotTest, ARepetitionSurvivesTheUndoOfItsPair) {
  auto on = ballot();
  for (int i = 0; i < 60; ++i) answer(on, ada);
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(on.undo(ada));
  for (int i = 0; i < 90; ++i) answer(on, ada);
  EXPECT_EQ(on.counts(ada).answered, 90);
  EXPECT_EQ(on.counts(ada).same_again, on.counts(ada).again);
}

TEST_F(BallotTest, EndsWhenEveryPairWasAsked) {
  tests::DrawnStore small(tests::fresh_folder("small"), 1, 3);
  const int64_t bob = studio::person_named(small.store.database, "Bob").id;
  studio::Ballot on(small.store.database, small.pool,
                    studio::draw_to_learn(small.pool, [](int64_t) { return studio::Worth(); }),
                    false, 1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(on.vote(bob, on.queue(bob).front().id, "skip", 5));
  EXPECT_TRUE(on.queue(bob).empty());
  EXPECT_EQ(on.counts(bob).skipped, 3);
  EXPECT_TRUE(on.undo(bob));
  EXPECT_EQ(on.queue(bob).size(), 1u);
}

TEST_F(BallotTest, PairsThatOnlyMeasureAreThoseOfOthersFirst) {
  auto on = ballot();
  for (int i = 0; i < 60; ++i) answer(on, ada);
  std::set<std::pair<int64_t, int64_t>> of_ada;
  for (const auto& pair : studio::pairs_of(database, ada)) {
    if (pair.purpose == studio::kHeldOut) of_ada.insert(std::minmax(pair.left, pair.right));
  }
  const int64_t bob = studio::person_named(database, "Bob").id;
  EXPECT_TRUE(studio::measured_of_others(database, ada).empty());
  studio::Ballot shared(
      database, drawn.pool,
      studio::draw_to_learn(
          drawn.pool, [](int64_t) { return studio::Worth(); },
          [&](int64_t person) { return studio::measured_of_others(database, person); }),
      false, 2);
  int64_t measured = 0;
  for (int i = 0; i < 25; ++i) answer(shared, bob);
  for (const auto& pair : studio::pairs_of(database, bob)) {
    if (pair.purpose != studio::kHeldOut || pair.repeats) continue;
    ++measured;
    EXPECT_TRUE(of_ada.contains(std::minmax(pair.left, pair.right)));
  }
  EXPECT_GT(measured, 0);
}

}  // namespace
