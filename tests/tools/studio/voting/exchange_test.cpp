#include "tools/studio/voting/exchange.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "rewards/pairs/choices.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/studio_pictures.hpp"

namespace {

namespace fs = std::filesystem;

// Twelve answers: left, right, tie, both bad, skip in turn.
struct ExchangeTest : testing::Test {
  tests::DrawnStore drawn{tests::fresh_folder(), 1, 6};
  data::Database& database = drawn.store.database;
  int64_t learn = 0, held_out = 0, decided = 0;

  void SetUp() override {
    const int64_t ada = studio::person_named(database, "Ada").id;
    for (size_t i = 0; i < 12; ++i) {
      const std::string answer = studio::answers()[i % 5];
      const std::string purpose = i % 4 == 3 ? studio::kHeldOut : studio::kLearn;
      const int64_t pair =
          studio::record_pair(database, {.person = ada,
                                         .left = drawn.pool.images[i % 6].id,
                                         .right = drawn.pool.images[(i + 1) % 6].id,
                                         .purpose = purpose});
      studio::record_vote(database, pair, answer, 10);
      if (answer == "skip") continue;
      (purpose == studio::kLearn ? learn : held_out) += 1;
      decided += purpose == studio::kLearn && (answer == "left" || answer == "right");
    }
  }
  fs::path file(const char* name) const { return drawn.folder / name; }
};

TEST_F(ExchangeTest, EveryFormIsReadBack) {
  for (const auto& form : studio::export_forms()) {
    const std::string name = form.name;
    const bool folder = name == "folders" || name == "siblings";
    const fs::path place = drawn.folder / "out" /
                           (folder          ? name
                            : name == "csv" ? "c.csv"
                                            : name + ".jsonl");
    const auto done = studio::export_votes(database, place, {.form = name});
    EXPECT_EQ(done.learn, learn) << name;
    EXPECT_EQ(done.held_out, held_out) << name;
    const auto choices = rewards::read_choices(place);
    const bool without_ties = folder || name == "hpdv2";
    EXPECT_EQ(choices.pairs.size(), static_cast<size_t>(without_ties ? decided : learn)) << name;
    EXPECT_EQ(choices.pairs[0].prompt, "prompt 0") << name;
    EXPECT_TRUE(fs::exists(choices.pairs[0].a)) << choices.pairs[0].a;
    EXPECT_TRUE(fs::exists(done.held_out_place)) << done.held_out_place;
  }
}

TEST_F(ExchangeTest, LinesHoldAnswersAndDigestsOfNames) {
  studio::export_votes(database, file("choices.jsonl"), {});
  const std::string text = data::read_file(file("choices.jsonl"));
  EXPECT_TRUE(
      text.starts_with(R"({"prompt":"prompt 0","a":"0.png","b":"1.png","winner":"a","person":")"))
      << text;
  EXPECT_EQ(text.find("Ada"), std::string::npos);
  EXPECT_EQ(studio::votes_as_lines(database, drawn.folder, false), text);
  const int64_t bob = studio::person_named(database, "Bob").id;
  EXPECT_EQ(studio::votes_as_lines(database, drawn.folder, false, bob), "");
  EXPECT_EQ(studio::votes_as_lines(database, drawn.folder, false, bob - 1), text);
  studio::export_votes(database, file("named.jsonl"), {.names = true});
  EXPECT_EQ(rewards::read_choices(file("named.jsonl")).pairs[0].person, "Ada");
  EXPECT_NE(refusal([&] {
              studio::export_votes(database, file("x"), {.form = "none"});
            }).find("--export_form"),
            std::string::npos);
}

TEST_F(ExchangeTest, ImportedChoicesAreAnswersOfTheirPeople) {
  studio::export_votes(database, file("choices.jsonl"), {.names = true});
  data::append_line(file("choices.jsonl"), R"({"like":"0.png"})");
  data::append_line(file("choices.jsonl"),
                    R"({"prompt":"prompt 0","a":"0.png","b":"gone.png","winner":"a"})");
  auto other = studio::open_store(drawn.folder / "other.laurel");
  const auto done = studio::import_choices(other.database, file("choices.jsonl"), "nobody");
  EXPECT_EQ(done.pairs, learn);
  EXPECT_EQ(done.left_out.size(), 2u);
  const auto votes = studio::standing_votes(other.database);
  ASSERT_EQ(votes.size(), static_cast<size_t>(learn));
  EXPECT_EQ(votes[0].answer, "left");
  EXPECT_EQ(studio::people(other.database)[0].name, "Ada");
  const auto images = studio::stored_images(other.database);
  const auto pool = studio::make_pool(images, {});
  for (const auto& vote : votes) {
    const auto& a = pool.images[pool.number_of.at(vote.pair.left)];
    const auto& b = pool.images[pool.number_of.at(vote.pair.right)];
    EXPECT_EQ(studio::is_held_out(a, b), vote.pair.purpose == studio::kHeldOut);
  }
}

TEST_F(ExchangeTest, AStoreWithoutAnswersExportsNothing) {
  auto empty = studio::open_store(drawn.folder / "empty.laurel");
  EXPECT_NE(refusal([&] {
              studio::export_votes(empty.database, file("none.jsonl"), {});
            }).find("found none; vote first"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(file("none.jsonl")));
}

}  // namespace
