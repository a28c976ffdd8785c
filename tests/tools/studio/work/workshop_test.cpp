#include "tools/studio/work/workshop.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/studio_pictures.hpp"
#include "tools/studio/store/votes.hpp"

namespace {

namespace fs = std::filesystem;

struct WorkshopTest : testing::Test {
  tests::DrawnStore drawn{tests::fresh_folder(), 1, 4};
  std::mutex mutex;
  std::vector<std::string> finished;

  void SetUp() override {
    const int64_t ada = studio::person_named(drawn.store.database, "Ada").id;
    const int64_t pair = studio::record_pair(
        drawn.store.database,
        {.person = ada, .left = drawn.pool.images[0].id, .right = drawn.pool.images[1].id});
    studio::record_vote(drawn.store.database, pair, "left", 5);
  }
  // A program in place of laurel.
  std::string program(const std::string& script) {
    const fs::path file = drawn.folder / "program";
    data::write_file(file, "#!/bin/sh\n" + script);
    fs::permissions(file, fs::perms::owner_all);
    return file;
  }
  std::unique_ptr<studio::Workshop> workshop(const std::string& script) {
    return std::make_unique<studio::Workshop>(
        drawn.store.database, mutex, studio::WorkSettings{.folder = drawn.folder / "work"},
        program(script), [this](const studio::StoredJob& job) { finished.push_back(job.kind); });
  }
  studio::StoredJob newest() {
    const std::lock_guard lock(mutex);
    return studio::jobs(drawn.store.database).front();
  }
  studio::StoredJob in_state(const std::string& state) {
    for (int i = 0; i < 1000 && newest().state != state; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(newest().state, state);
    return newest();
  }
  int64_t start(studio::Workshop& on, const std::string& kind) {
    const std::lock_guard lock(mutex);
    return on.start(kind, {});
  }
};

TEST_F(WorkshopTest, RunsAJobToItsEnd) {
  const auto on = workshop("echo \"$@\"\n");
  start(*on, "taste");
  const auto job = in_state(studio::kEnded);
  const std::string folder = on->folder_of(job);
  EXPECT_EQ(on->log_tail(job), "train-reward pairs --data " + folder + "/choices.jsonl --output " +
                                   folder + "/taste\n");
  EXPECT_TRUE(fs::exists(fs::path(folder) / "choices.jsonl"));
  EXPECT_EQ(finished, std::vector<std::string>{"taste"});
}

TEST_F(WorkshopTest, AFailureIsSaidInTheJobsLastLine) {
  const auto on = workshop("echo first; printf 'laurel: no \\033[2J disk\\n'; exit 2\n");
  start(*on, "taste");
  EXPECT_EQ(in_state(studio::kFailed).note, "laurel: no \\u001b[2J disk");
  EXPECT_TRUE(finished.empty());
}

TEST_F(WorkshopTest, AJobThatTheGuardStopsHasNotFailed) {
  const auto on = workshop("exit 3\n");
  start(*on, "taste");
  EXPECT_EQ(in_state(studio::kStopped).note, "the guard stopped it: its reward was gamed");
}

TEST_F(WorkshopTest, OneJobRunsAtATimeAndEndsWhenAsked) {
  const auto on = workshop("trap 'echo saved; exit 143' TERM\nwhile :; do sleep 0.02; done\n");
  const int64_t job = start(*on, "taste");
  EXPECT_NE(refusal([&] { start(*on, "taste"); }).find("another job runs"), std::string::npos);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  {
    const std::lock_guard lock(mutex);
    EXPECT_NE(refusal([&] { on->end(job + 1, studio::kStopped); }).find("one that runs"),
              std::string::npos);
    on->end(job, studio::kStopped);
  }
  EXPECT_EQ(on->log_tail(in_state(studio::kStopped)), "saved\n");
}

TEST_F(WorkshopTest, TheEndOfTheStudioLetsAJobSave) {
  auto on = workshop("trap 'echo saved; exit 143' TERM\nwhile :; do sleep 0.02; done\n");
  start(*on, "taste");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto job = newest();
  const fs::path log = on->folder_of(job) / "log.txt";
  on = nullptr;
  EXPECT_EQ(data::read_file(log), "saved\n");
  EXPECT_EQ(newest().state, studio::kInterrupted);
}

TEST_F(WorkshopTest, AJobThatCannotStartLeavesNothing) {
  const auto on = workshop("exit 0\n");
  EXPECT_NE(refusal([&] { start(*on, "finetune"); }).find("learn a reward"), std::string::npos);
  EXPECT_NE(refusal([&] { start(*on, "rm"); }).find("kind: expected"), std::string::npos);
  EXPECT_NE(refusal([&] { start(*on, "draw"); }).find("--prompts"), std::string::npos);
  EXPECT_TRUE(studio::jobs(drawn.store.database).empty());
}

TEST(JobRequest, HoldsMethodsAndNumbersAlone) {
  const auto request = studio::job_request({{"method", "ddpo"}, {"epochs", 7}, {"more", "--x"}});
  EXPECT_EQ(request.method, "ddpo");
  EXPECT_EQ(request.epochs, 7);
  EXPECT_EQ(studio::job_request(studio::to_json(request)).epochs, 7);
  for (const auto& body : std::vector<nlohmann::json>{{{"method", "ddpo --x"}},
                                                      {{"epochs", -1}},
                                                      {{"epochs", 1e9}},
                                                      {{"epochs", "7"}},
                                                      {{"taste", "../x"}}})
    EXPECT_NE(refusal([&] { studio::job_request(body); }), "") << body;
}

}  // namespace
