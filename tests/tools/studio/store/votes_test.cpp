#include "tools/studio/store/votes.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tools/studio/store/images.hpp"
#include "tools/studio/store/jobs.hpp"
#include "tools/studio/store/model_choices.hpp"
#include "tools/studio/store/schema.hpp"

namespace {

namespace fs = std::filesystem;

// A store with two files and a person.
struct Votes : testing::Test {
  const fs::path folder = tests::fresh_folder();
  studio::Store store = studio::open_store(folder / "taste.laurel");
  data::Database& database = store.database;
  int64_t a = 0, b = 0, ada = 0;

  void SetUp() override {
    data::write_file(folder / "a.png", "first");
    data::write_file(folder / "b.png", "second");
    a = studio::record_image(database, folder / "a.png", "a cat");
    b = studio::record_image(database, folder / "b.png", "a cat");
    ada = studio::person_named(database, " Ada ").id;
  }
  int64_t shown() { return studio::record_pair(database, {.person = ada, .left = a, .right = b}); }
};

TEST_F(Votes, AnAnswerStandsUntilItIsTakenBack) {
  const int64_t first = shown(), second = shown();
  EXPECT_EQ(studio::unanswered(database, ada).size(), 2u);
  EXPECT_TRUE(studio::record_vote(database, first, "left", 900));
  EXPECT_TRUE(studio::record_vote(database, second, "tie", 800));
  auto votes = studio::standing_votes(database);
  ASSERT_EQ(votes.size(), 2u);
  EXPECT_EQ(votes[0].answer, "left");
  EXPECT_EQ(votes[0].pair.left, a);
  EXPECT_EQ(votes[0].milliseconds, 900);
  EXPECT_EQ(studio::undo_vote(database, ada)->id, second);
  EXPECT_EQ(studio::undo_vote(database, ada)->id, first);
  EXPECT_FALSE(studio::undo_vote(database, ada));
  EXPECT_TRUE(studio::standing_votes(database).empty());
  EXPECT_EQ(studio::unanswered(database, ada).front().id, first);
  EXPECT_TRUE(studio::record_vote(database, first, "right", 100));
  votes = studio::standing_votes(database, ada);
  ASSERT_EQ(votes.size(), 1u);
  EXPECT_EQ(votes[0].answer, "right");
  EXPECT_EQ(database.number("SELECT count(*) FROM vote"), 5);  // nothing was deleted
}

TEST_F(Votes, APairIsAnsweredOnce) {
  const int64_t pair = shown();
  EXPECT_TRUE(studio::record_vote(database, pair, "left", 0));
  EXPECT_FALSE(studio::record_vote(database, pair, "right", 0));
  EXPECT_EQ(studio::standing_votes(database)[0].answer, "left");
}

TEST_F(Votes, AreNeitherChangedNorDeleted) {
  studio::record_vote(database, shown(), "left", 0);
  EXPECT_THROW(database.run("UPDATE vote SET answer = 'right'"), std::runtime_error);
  EXPECT_THROW(database.run("DELETE FROM vote"), std::runtime_error);
  EXPECT_EQ(studio::standing_votes(database)[0].answer, "left");
}

TEST_F(Votes, AfterARevealDoNotCount) {
  const int64_t pair = shown();
  studio::record_vote(database, pair, "left", 0);
  studio::record_reveal(database, pair);
  EXPECT_EQ(studio::standing_votes(database).size(), 1u);
  studio::undo_vote(database, ada);
  studio::record_vote(database, pair, "right", 0);
  EXPECT_TRUE(studio::standing_votes(database).empty());
  EXPECT_TRUE(studio::unanswered(database, ada).empty());
}

TEST_F(Votes, OtherAnswersAndNamesAreRefused) {
  const int64_t pair = shown();
  EXPECT_NE(
      refusal([&] { studio::record_vote(database, pair, "undone", 0); }).find("expected left"),
      std::string::npos);
  EXPECT_THROW(studio::record_vote(database, pair + 1, "left", 0), std::runtime_error);
  EXPECT_EQ(database.number("SELECT count(*) FROM vote"), 0);
  for (const std::string& name :
       {std::string("  "), std::string(201, 'x'), std::string("a\x1b[2J"), std::string("\xff")})
    EXPECT_NE(refusal([&] { studio::person_named(database, name); }).find("name: expected"),
              std::string::npos)
        << name;
  EXPECT_EQ(studio::people(database).size(), 1u);
  EXPECT_EQ(studio::person_named(database, "Ada").id, ada);
}

TEST_F(Votes, BelongToOnePersonEach) {
  const int64_t bob = studio::person_named(database, "Bob").id;
  const int64_t pair = studio::record_pair(database, {.person = bob, .left = b, .right = a});
  studio::record_vote(database, pair, "left", 0);
  EXPECT_TRUE(studio::standing_votes(database, ada).empty());
  EXPECT_EQ(studio::standing_votes(database, bob).size(), 1u);
  EXPECT_FALSE(studio::undo_vote(database, ada));
}

TEST_F(Votes, AStoreHasOneStudio) {
  const std::string why = refusal([&] { studio::open_store(folder / "taste.laurel"); });
  EXPECT_NE(why.find("taste.laurel: expected a file that no other laurel writes to"),
            std::string::npos)
      << why;
  EXPECT_EQ(
      studio::people(*std::make_unique<data::Database>(studio::read_store(folder / "taste.laurel")))
          .size(),
      1u);
}

TEST_F(Votes, PicturesAreKnownByTheirContent) {
  fs::rename(folder / "a.png", folder / "moved.png");
  EXPECT_EQ(studio::record_image(database, folder / "moved.png", "a cat"), a);
  EXPECT_NE(studio::record_image(database, folder / "moved.png", "a dog"), a);
  const auto images = studio::stored_images(database);
  ASSERT_EQ(images.size(), 3u);
  EXPECT_EQ(images[0].path, folder / "moved.png");
  EXPECT_EQ(images[0].prompt, "a cat");
  data::write_file(folder / "moved.png", "third");
  EXPECT_NE(studio::record_image(database, folder / "moved.png", "a cat"), a);
}

TEST_F(Votes, TheModelThatCountsIsTheOneChosenLast) {
  EXPECT_EQ(studio::chosen_model(database).job, 0);
  const int64_t first = studio::add_job(database, "finetune", "{}", "a");
  const int64_t second = studio::add_job(database, "finetune", "{}", "b");
  studio::choose_model(database, {.job = first, .step = 20});
  studio::choose_model(database, {.job = second, .step = 40});
  EXPECT_EQ(studio::chosen_model(database).job, second);
  EXPECT_EQ(studio::chosen_model(database).step, 40);
  studio::choose_model(database, {});
  EXPECT_EQ(studio::chosen_model(database).job, 0);
  EXPECT_EQ(studio::chosen_step(database, first), 20);
  EXPECT_FALSE(studio::chosen_step(database, 99));
  EXPECT_THROW(studio::choose_model(database, {.job = 99, .step = 1}), std::exception);
}

TEST_F(Votes, JobsOfAnEarlierVersionAreKept) {
  const fs::path file = folder / "old.laurel";
  int64_t job = 0;
  {
    auto opened = studio::open_store(file);
    job = studio::add_job(opened.database, "finetune", "{}", "a");
    studio::add_job_event(opened.database, job, studio::kEnded, "well");
    // As version 2 left it.
    opened.database.run("DROP TABLE model_choice; PRAGMA user_version=2");
  }
  auto opened = studio::open_store(file);
  EXPECT_EQ(studio::job_of(opened.database, job).note, "well");
  studio::add_job_event(opened.database, job, studio::kWaiting, "");
  EXPECT_EQ(studio::job_of(opened.database, job).state, studio::kWaiting);
  EXPECT_EQ(studio::chosen_model(opened.database).job, 0);
  EXPECT_TRUE(fs::exists(file.string() + ".before-v3"));
  EXPECT_THROW(studio::job_of(opened.database, job + 1), data::BadInput);
}

// Votes without end, and says the number of each on `acknowledged` once it is recorded.
[[noreturn]] void vote_until_killed(const fs::path& file, int acknowledged) {
  auto store = studio::open_store(file);
  const auto ada = studio::person_named(store.database, "Ada").id;
  for (;;) {
    const int64_t pair =
        studio::record_pair(store.database, {.person = ada, .left = 1, .right = 2});
    studio::record_vote(store.database, pair, pair % 2 ? "left" : "tie", 1);
    if (write(acknowledged, &pair, sizeof pair) != sizeof pair) _exit(1);
  }
}

std::set<int64_t> killed_while_voting(const fs::path& file, std::chrono::microseconds after) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t voter = fork();
  if (voter == 0) {
    close(ends[0]);
    vote_until_killed(file, ends[1]);
  }
  close(ends[1]);
  std::set<int64_t> acknowledged;
  int64_t pair = 0;
  if (read(ends[0], &pair, sizeof pair) == sizeof pair) acknowledged.insert(pair);
  std::this_thread::sleep_for(after);
  kill(voter, SIGKILL);
  while (read(ends[0], &pair, sizeof pair) == sizeof pair) acknowledged.insert(pair);
  close(ends[0]);
  waitpid(voter, nullptr, 0);
  return acknowledged;
}

// LAUREL_KILLS=200 for the long form.
TEST(VotesKilled, LoseNoAcknowledgedVote) {
  const char* asked = std::getenv("LAUREL_KILLS");
  const int kills = asked ? std::atoi(asked) : 12;
  const fs::path folder = tests::fresh_folder(), file = folder / "taste.laurel";
  {
    auto store = studio::open_store(file);
    for (const char* name : {"a.png", "b.png"}) {
      data::write_file(folder / name, name);
      studio::record_image(store.database, folder / name, "a cat");
    }
  }
  std::set<int64_t> acknowledged;
  std::mt19937 chance(1);
  for (int i = 0; i < kills; ++i) {
    const auto more = killed_while_voting(file, std::chrono::microseconds(chance() % 60000));
    EXPECT_FALSE(more.empty());
    acknowledged.insert(more.begin(), more.end());
    auto store = studio::open_store(file);
    EXPECT_TRUE(data::faults_in(store.database).empty());
    std::set<int64_t> kept;
    for (const auto& vote : studio::standing_votes(store.database)) {
      kept.insert(vote.pair.id);
      EXPECT_EQ(vote.answer, vote.pair.id % 2 ? "left" : "tie");
    }
    EXPECT_TRUE(std::includes(kept.begin(), kept.end(), acknowledged.begin(), acknowledged.end()));
    EXPECT_LE(kept.size(), acknowledged.size() + static_cast<size_t>(i) + 1);
  }
}

}  // namespace
