#include "tools/studio/work/workshop.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/studio_pictures.hpp"
#include "tools/studio/store/model_choices.hpp"
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
  std::unique_ptr<studio::Workshop> workshop(const std::string& script,
                                             const std::string& prompts = "") {
    return std::make_unique<studio::Workshop>(
        drawn.store.database, mutex,
        studio::WorkSettings{.folder = drawn.folder / "work", .prompts = prompts}, program(script),
        [this](const studio::StoredJob& job) { finished.push_back(job.kind); });
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
    return on.start(kind, studio::job_request(nlohmann::json::object()));
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

// A run of two checkpoints and its store's job.
int64_t add_training(studio::Workshop& on, data::Database& store) {
  const int64_t job = studio::add_job(store, studio::kTraining, "{}", "finetune-99");
  const fs::path run = on.folder_of(studio::job_of(store, job)) / studio::kRunFolder;
  for (const char* name : {"checkpoint-2", "checkpoint-10"}) {
    fs::create_directories(run / name);
    data::write_file(run / name / "state.safetensors", "");
    data::write_file(run / name / "pytorch_lora_weights.safetensors", name);
  }
  data::write_file(run / "run.json", R"({"model": "/models/base"})");
  return job;
}

TEST_F(WorkshopTest, APromptIsDrawnByTheBaseAndTheTrainedModel) {
  const auto on = workshop("echo \"$@\"\n");
  std::string folder;
  {
    const std::lock_guard lock(mutex);
    const int64_t training = add_training(*on, drawn.store.database);
    on->start("try", {.of = training, .prompt = "a cat --n 7 `id`", .seed = 5});
  }
  const auto job = in_state(studio::kEnded);
  folder = on->folder_of(job);
  const std::string start =
      "sample --prompts " + folder + "/prompt.jsonl --seed 5 --output_dir " + folder;
  EXPECT_EQ(on->log_tail(job), start + "/base --model /models/base\n" + start +
                                   "/tuned --model /models/base --lora " + folder +
                                   "/step-10.safetensors\n");
  EXPECT_EQ(data::read_file(fs::path(folder) / "prompt.jsonl"),
            "{\"prompt\":\"a cat --n 7 `id`\"}\n");
  EXPECT_EQ(data::read_file(fs::path(folder) / "step-10.safetensors"), "checkpoint-10");
}

TEST_F(WorkshopTest, APromptWaitsWhereMemoryIsShort) {
  const auto on = workshop("[ $1 = sample ] && exit 0; while :; do sleep 0.02; done\n");
  const int64_t main = start(*on, "taste");
  double free = 1e6;
  int64_t tried = 0;
  {
    const std::lock_guard lock(mutex);
    on->set_free_memory([&free] { return free; });
    const int64_t training = add_training(*on, drawn.store.database);
    tried = on->start("try", {.of = training, .prompt = "a cat"});
    const auto waiting = studio::job_of(drawn.store.database, tried);
    EXPECT_EQ(waiting.state, studio::kWaiting);
    EXPECT_NE(waiting.note.find("waits until the other job ends"), std::string::npos);
    const int64_t dropped = on->start("try", {.of = training, .prompt = "a dog"});
    on->end(dropped, studio::kStopped);
    EXPECT_EQ(studio::job_of(drawn.store.database, dropped).state, studio::kStopped);
    free = 1e12;
  }
  for (int i = 0; i < 500; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::lock_guard lock(mutex);
    if (studio::job_of(drawn.store.database, tried).state == studio::kEnded) break;
  }
  const std::lock_guard lock(mutex);
  EXPECT_EQ(studio::job_of(drawn.store.database, tried).state, studio::kEnded);
  EXPECT_EQ(studio::job_of(drawn.store.database, main).state, studio::kRunning);
  EXPECT_GT(on->memory_of(main), 0);
  EXPECT_EQ(on->memory_of(tried), 0);
  on->end(main, studio::kStopped);
}

TEST_F(WorkshopTest, TrainsOnTheAnswersThemselvesAndNeverOnThoseThatMeasure) {
  const int64_t ada = studio::people(drawn.store.database)[0].id;
  const int64_t measures =
      studio::record_pair(drawn.store.database, {.person = ada,
                                                 .left = drawn.pool.images[2].id,
                                                 .right = drawn.pool.images[3].id,
                                                 .purpose = studio::kHeldOut});
  studio::record_vote(drawn.store.database, measures, "left", 5);
  const auto on = workshop("echo \"$@\"\n");
  {
    const std::lock_guard lock(mutex);
    on->start(studio::kTraining, {.method = "dpo", .from_answers = true, .rounds = 7});
  }
  const auto job = in_state(studio::kEnded);
  const std::string folder = on->folder_of(job);
  EXPECT_EQ(on->log_tail(job), "finetune dpo --output_dir " + folder +
                                   "/run --max_train_steps 7 --eval_rewards auto --pairs " +
                                   folder +
                                   "/choices.jsonl --prompts world --checkpoints_total_limit 20\n");
  const std::string choices = data::read_file(fs::path(folder) / "choices.jsonl");
  EXPECT_EQ(std::count(choices.begin(), choices.end(), '\n'), 1);
  EXPECT_EQ(choices.find("2.png"), std::string::npos) << choices;
}

TEST_F(WorkshopTest, TheNextTrainingStartsFromTheModelThatCounts) {
  const auto on = workshop("echo \"$@\"\n");
  {
    const std::lock_guard lock(mutex);
    const int64_t training = add_training(*on, drawn.store.database);
    studio::choose_model(drawn.store.database, {.job = training, .step = 2});
    on->start(studio::kTraining, {.method = "dpo", .from_answers = true, .rounds = 7});
  }
  const auto job = in_state(studio::kEnded);
  const std::string folder = on->folder_of(job), said = on->log_tail(job);
  const fs::path kept = on->settings().folder / "finetune-99" / "run" / "checkpoint-2";
  EXPECT_TRUE(said.starts_with("merge --model /models/base --lora " + kept.string() +
                               "/pytorch_lora_weights.safetensors --output " + folder +
                               "/start.safetensors\nfinetune dpo "))
      << said;
  EXPECT_NE(said.find(" --model " + folder + "/start.safetensors "), std::string::npos) << said;
}

TEST_F(WorkshopTest, MorePicturesAreDrawnByTheModelThatCounts) {
  const auto on = workshop("echo \"$@\"\n", "prompts.txt");
  {
    const std::lock_guard lock(mutex);
    const int64_t training = add_training(*on, drawn.store.database);
    studio::choose_model(drawn.store.database, {.job = training, .step = 10});
    on->start("draw", {.count = 3});
  }
  const auto job = in_state(studio::kEnded);
  const std::string folder = on->folder_of(job), said = on->log_tail(job);
  EXPECT_TRUE(said.starts_with("sample --prompts prompts.txt --count 3 --seed ")) << said;
  EXPECT_TRUE(said.ends_with(" --output_dir " + folder + "/drawn --model /models/base --lora " +
                             folder + "/step-10.safetensors\n"))
      << said;
}

TEST_F(WorkshopTest, LaurelItselfDrawsMorePictures) {
  const fs::path prompts = drawn.folder / "prompts.txt";
  data::write_file(prompts, "a red circle\n");
  const auto on = workshop(
      std::string("exec '") + tests::program() + "' \"$@\" --steps 1 2> /dev/null\n", prompts);
  {
    const std::lock_guard lock(mutex);
    on->start("draw", {.count = 2});
  }
  const auto job = in_state(studio::kEnded);
  int64_t pictures = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(on->folder_of(job)) / "drawn"))
    pictures += entry.path().extension() == ".png" ? 1 : 0;
  EXPECT_EQ(pictures, 2) << on->log_tail(job);
}

TEST(JobRequest, HoldsMethodsNumbersAndOnePromptAlone) {
  const auto request = studio::job_request({{"method", "ddpo"}, {"rounds", 7}, {"more", "--x"}});
  EXPECT_EQ(request.method, "ddpo");
  EXPECT_EQ(request.rounds, 7);
  EXPECT_EQ(studio::job_request(studio::to_json(request)).rounds, 7);
  EXPECT_EQ(studio::job_request({{"prompt", " a cat "}}).prompt, "a cat");
  for (const auto& body : std::vector<nlohmann::json>{{{"method", "ddpo --x"}},
                                                      {{"method", "ddpo"}, {"from_answers", true}},
                                                      {{"rounds", -1}},
                                                      {{"rounds", 1e9}},
                                                      {{"rounds", "7"}},
                                                      {{"taste", "../x"}},
                                                      {{"aggregate", "min;id"}},
                                                      {{"prompt", std::string(1001, 'x')}},
                                                      {{"prompt", "two\nlines"}},
                                                      {{"prompt", 7}}})
    EXPECT_NE(refusal([&] { studio::job_request(body); }), "") << body;
}

}  // namespace
