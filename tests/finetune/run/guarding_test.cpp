#include "finetune/run/guarding.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "finetune/policy/trainer.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::FinetuneConfig;
using finetune::TrainingTask;
using guard::State;

// A colour's mean that moves by `drift` at each call: what happens to a run, whatever it learns.
rewards::Reward drifting(const std::string& name, int64_t channel, double sign, double drift) {
  rewards::Reward reward = tests::channel_reward(name, channel, true);
  const auto calls = std::make_shared<double>(0);
  reward.score = [=, score = reward.score](const rewards::RewardBatch& batch) {
    return sign * score(batch) + drift * (*calls)++;
  };
  return reward;
}

// The trained reward rises, the held-out one moves by `drift` at each call.
TrainingTask task_with(double drift, double sign = 1, int64_t channel = 1) {
  TrainingTask task = tests::tiny_task();
  task.seen = task.prompts;
  task.rewards = {{drifting("redness", 0, 1, 1), 1.0}};
  task.eval_rewards = {{drifting("other", channel, sign, drift), 1.0}};
  task.guard_rewards = {"other"};
  return task;
}

FinetuneConfig config_with(const std::string& mode) {
  FinetuneConfig config = tests::tiny_config();
  config.guard = mode;
  config.eval_prompts = 4;
  config.sample_batch_size = 16;
  config.learning_rate = 1e-5;
  config.target_kl = 1e5;
  return config;
}

finetune::RunResult run(const TrainingTask& task,
                        const FinetuneConfig& config,
                        const fs::path& folder,
                        std::vector<std::string>* said = nullptr,
                        const std::string& resume = "") {
  return finetune::run_finetune(task, config,
                                tests::run_options(folder, "prdp", config.seed, resume),
                                tests::reporter_into(said));
}

bool said_so(const std::vector<std::string>& said, const std::string& part) {
  return std::any_of(said.begin(), said.end(),
                     [&](const auto& line) { return line.find(part) != std::string::npos; });
}

std::vector<nlohmann::json> verdicts(const fs::path& folder) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(data::read_file(folder / "guard.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(data::parse_json(line));
  return lines;
}

TEST(Guarding, StopsAGamedRunAndLeavesTheAcceptedModel) {
  const fs::path folder = tests::fresh_folder("gamed");
  std::vector<std::string> said;
  const auto result = run(task_with(-5), config_with("on"), folder, &said);
  EXPECT_EQ(result.stopped, "the guard: gamed");
  EXPECT_EQ(result.epochs, 2);
  ASSERT_TRUE(result.verdict);
  EXPECT_EQ(result.verdict->accepted_step, 0);
  EXPECT_TRUE(finetune::is_rejected(result));
  EXPECT_TRUE(said_so(said, "guard: judges by other"));
  EXPECT_TRUE(said_so(said, guard::verdict_text(*result.verdict)));
  EXPECT_TRUE(said_so(said, "the run leaves the model of step 0, the start"));
  const auto lines = verdicts(folder);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["state"], "stop");
  EXPECT_EQ(lines[0]["reason"], result.verdict->reason);
  EXPECT_EQ(lines[0]["worst"].size(), 8u);
  const auto figures = tests::metrics(folder, true).back();
  EXPECT_EQ(figures["guard/state"], 3);
  EXPECT_GT(figures["guard/fall"].get<double>(), 1);
  for (const auto& [name, tensor] :
       data::read_safetensors(folder / "pytorch_lora_weights.safetensors").tensors) {
    if (name.find("lora_B") != std::string::npos) {
      EXPECT_EQ(tensor.abs().max().item<float>(), 0);
    }
  }
}

TEST(Guarding, AStoppedRunStaysStoppedWhenItIsResumedUnlessItIsToWarn) {
  const fs::path folder = tests::fresh_folder("stays");
  const auto first = run(task_with(-5), config_with("on"), folder);
  const std::string lines = data::read_file(folder / "guard.jsonl"),
                    model = data::read_file(folder / "pytorch_lora_weights.safetensors");
  fs::remove(folder / "pytorch_lora_weights.safetensors");
  const auto again = run(task_with(-5), config_with("on"), folder, nullptr, "latest");
  EXPECT_EQ(again.stopped, "the guard: gamed");
  EXPECT_EQ(again.epochs, 2);
  EXPECT_TRUE(finetune::is_rejected(again));
  EXPECT_EQ(again.trained, first.trained);
  EXPECT_EQ(again.verdict->reason, first.verdict->reason);
  EXPECT_EQ(again.verdict->accepted_step, first.verdict->accepted_step);
  EXPECT_EQ(data::read_file(folder / "guard.jsonl"), lines);
  EXPECT_EQ(data::read_file(folder / "pytorch_lora_weights.safetensors"), model);
  EXPECT_EQ(run(task_with(-5), config_with("warn"), folder, nullptr, "latest").epochs, 4);
}

TEST(Guarding, LeavesTheLastAcceptedModelRatherThanTheStart) {
  const fs::path folder = tests::fresh_folder("later");
  TrainingTask task = task_with(0);
  const auto calls = std::make_shared<int>(0);
  task.eval_rewards[0].reward.score = [calls](const rewards::RewardBatch& batch) {
    // the base, two epochs, an evaluation, two epochs; then the fall
    return batch.images.select(1, 1).mean({1, 2}) - (++*calls > 6 ? 10 : 0);
  };
  const auto result = run(task, config_with("on"), folder);
  EXPECT_TRUE(finetune::is_rejected(result));
  ASSERT_GT(result.verdict->accepted_step, 0);
  tests::expect_same_tensors(folder / "pytorch_lora_weights.safetensors",
                             folder / "accepted" / "pytorch_lora_weights.safetensors");
  EXPECT_FALSE(fs::exists(folder / "accepted.tmp"));
}

TEST(Guarding, RejectsTheEndOfARunThatIsBrakedAtItsLastStep) {
  finetune::RunResult result;
  result.steps = 8;
  result.guard_acts = true;
  EXPECT_FALSE(finetune::is_rejected(result));  // no verdict
  result.verdict = guard::Verdict{};
  result.verdict->step = 8;
  EXPECT_FALSE(finetune::is_rejected(result));  // fine
  result.verdict->state = guard::State::kBrake;
  EXPECT_TRUE(finetune::is_rejected(result));
  result.verdict->step = 4;  // trained on at half the rate, and not judged since
  EXPECT_FALSE(finetune::is_rejected(result));
  result.verdict->state = guard::State::kStop;
  EXPECT_TRUE(finetune::is_rejected(result));
  result.guard_acts = false;
  EXPECT_FALSE(finetune::is_rejected(result));
}

TEST(Guarding, OnlySaysSoWhereItIsToWarn) {
  const fs::path folder = tests::fresh_folder("warned");
  std::vector<std::string> said;
  const auto result = run(task_with(-5), config_with("warn"), folder, &said);
  EXPECT_EQ(result.epochs, 4);
  EXPECT_EQ(result.stopped, "");
  EXPECT_FALSE(finetune::is_rejected(result));
  EXPECT_TRUE(said_so(said, "guard: stop (gamed)"));
  EXPECT_EQ(verdicts(folder).size(), 2u);
  EXPECT_FALSE(fs::exists(folder / "accepted"));
}

TEST(Guarding, SaysNothingWhereItIsOff) {
  const fs::path folder = tests::fresh_folder("off");
  std::vector<std::string> said;
  const auto result = run(task_with(-5), config_with("off"), folder, &said);
  EXPECT_EQ(result.epochs, 4);
  EXPECT_FALSE(result.verdict);
  EXPECT_FALSE(said_so(said, "guard"));
  EXPECT_FALSE(fs::exists(folder / "guard.jsonl"));
}

TEST(Guarding, WithoutHeldOutRewardsAutoWarnsAndOnRefuses) {
  TrainingTask task = task_with(-5);
  task.guard_rewards.clear();
  std::vector<std::string> said;
  const auto result = run(task, config_with("auto"), tests::fresh_folder("bare"), &said);
  EXPECT_EQ(result.epochs, 4);
  EXPECT_TRUE(said_so(said, "guard: no held-out reward"));
  EXPECT_FALSE(result.guard_acts);
  EXPECT_NE(refusal([&] {
              run(task, config_with("on"), tests::fresh_folder("on"));
            }).find("expected a held-out reward"),
            std::string::npos);
  FinetuneConfig blind = config_with("on");
  blind.eval_prompts = 0;
  EXPECT_NE(refusal([&] {
              run(task_with(0), blind, tests::fresh_folder("blind"));
            }).find("eval_prompts = 0"),
            std::string::npos);
}

// The held-out reward is minus the trained one, and sinks by less than is borne.
TEST(Guarding, BrakesOnceWhereTrainingImagesTradeOneRewardForTheOther) {
  const fs::path folder = tests::fresh_folder("braked");
  FinetuneConfig config = config_with("on");
  config.guard_tolerance = 1e6;
  config.eval_every = 0;
  config.num_epochs = 8;
  std::vector<std::string> said;
  const auto result = run(task_with(-1, -1, 0), config, folder, &said);
  EXPECT_EQ(result.epochs, 8);
  EXPECT_TRUE(said_so(said, "evaluating now"));
  EXPECT_TRUE(said_so(said, "guard: brake: back to the parameters of step 0"));
  EXPECT_EQ(std::count_if(said.begin(), said.end(),
                          [](const auto& line) {
                            return line.find("guard: brake: back") != std::string::npos;
                          }),
            1);
  const auto lines = verdicts(folder);
  ASSERT_GE(lines.size(), 2u);
  EXPECT_EQ(lines[0]["state"], "brake");
  EXPECT_EQ(lines[0]["step"], 3);
  EXPECT_EQ(lines[1]["state"], "warn");
}

TEST(Guarding, OfAResumedRunJudgesAsIfItHadNotBeenInterrupted) {
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  FinetuneConfig config = config_with("on");
  config.guard_tolerance = 1e6;
  config.eval_every = 1;
  config.num_epochs = 8;
  const auto task = [] {
    TrainingTask plain = task_with(0, -1, 0);
    plain.rewards = tests::tiny_task().rewards;  // calls of a resumed run are counted anew
    return plain;
  };
  run(task(), config, whole);
  for (const int64_t epochs : {3, 5, 8}) {
    config.num_epochs = epochs;
    run(task(), config, parts, nullptr, epochs == 3 ? "" : "latest");
  }
  tests::expect_same_tensors(whole / "checkpoint-8" / "state.safetensors",
                             parts / "checkpoint-8" / "state.safetensors");
  EXPECT_EQ(verdicts(whole).back()["accepted"], verdicts(parts).back()["accepted"]);
}

TEST(Guarding, DoesNotCallARunOnNoiseGamed) {
  TrainingTask task = task_with(0);
  auto generator = std::make_shared<at::Generator>(at::detail::createCPUGenerator(7));
  task.rewards[0].reward.score = [generator](const rewards::RewardBatch& batch) {
    return at::randn({batch.images.size(0)}, *generator);
  };
  FinetuneConfig config = config_with("on");
  config.num_epochs = 8;
  config.learning_rate = 1e-3;
  const auto result = run(task, config, tests::fresh_folder("noise"));
  EXPECT_EQ(result.epochs, 8);
  EXPECT_FALSE(finetune::is_rejected(result));
}

TEST(Guarding, SaysWhereTheMembersOfATrainedRewardPartWays) {
  TrainingTask task = task_with(0);
  const auto calls = std::make_shared<double>(0);
  task.rewards[0].reward.disagreement = [calls](const rewards::RewardBatch& batch) {
    return at::full({batch.images.size(0)}, *calls += 1);
  };
  const fs::path folder = tests::fresh_folder("members");
  run(task, config_with("warn"), folder);
  const auto evaluations = tests::metrics(folder, true);
  EXPECT_EQ(evaluations[1]["guard/members"], 2);
  EXPECT_EQ(evaluations[2]["guard/members"], 3);
  EXPECT_EQ(verdicts(folder)[0]["signals"]["member disagreement"], "warn");
}

}  // namespace
