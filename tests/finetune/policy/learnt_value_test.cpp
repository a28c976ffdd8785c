// Runs that learn the value of their states as they go, and runs that keep them.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "finetune/estimate/forecast.hpp"
#include "finetune/policy/trainer.hpp"
#include "rewards/value/files.hpp"
#include "rewards/value/kept_chains.hpp"
#include "tests/finetune/policy/trainer_run.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/value_learner.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::FinetuneConfig;
using finetune::TrainingTask;
using tests::metrics;

constexpr rewards::OnlineOptions kOptions{
    .updates = 20, .batch_size = 32, .replay_epochs = 2, .learning_rate = 3e-3};

FinetuneConfig learning_config(const TrainingTask& task, const std::string& method, double scale) {
  FinetuneConfig config = tests::tiny_config(method);
  const auto learnt = tools::make_learnt_value(task, kOptions, config.seed);
  config.credit.steps = learnt.value;
  config.credit.baseline = scale == 0 ? finetune::StateValue() : learnt.value;
  config.credit.scale = scale;
  config.credit.learner = learnt.learner;
  return config;
}

void train(const TrainingTask& task,
           const FinetuneConfig& config,
           const fs::path& folder,
           const std::string& resume = "",
           std::vector<std::string>* said = nullptr,
           const finetune::ProcessGroup& ranks = {}) {
  auto options = tests::run_options(folder, config.method.name, config.seed, resume);
  options.ranks = ranks;
  finetune::run_finetune(task, config, options, tests::reporter_into(said));
}

const char* const kState = "checkpoint-4/state.safetensors";

TEST(LearntValue, OfScaleZeroTrainsTheSameNetworkBitForBit) {
  const TrainingTask task = tests::tiny_task();
  for (const char* method : {"ddpo", "dpok", "grpo"}) {
    const fs::path plain = tests::fresh_folder("plain"), zero = tests::fresh_folder("zero");
    train(task, tests::tiny_config(method), plain);
    train(task, learning_config(task, method, 0), zero);
    tests::expect_same_tensors(plain / kState, zero / kState);
  }
}

TEST(LearntValue, GivesCreditFromTheSecondEpochOn) {
  const TrainingTask task = tests::tiny_task();
  FinetuneConfig plain = tests::tiny_config("grpo"), learning = learning_config(task, "grpo", 1);
  plain.checkpointing_steps = learning.checkpointing_steps = 1;
  const fs::path without = tests::fresh_folder("without"), with = tests::fresh_folder("with");
  std::vector<std::string> said;
  train(task, plain, without);
  train(task, learning, with, "", &said);
  tests::expect_same_tensors(without / "checkpoint-1/state.safetensors",
                             with / "checkpoint-1/state.safetensors");
  const auto a = data::read_safetensors(without / "checkpoint-2/state.safetensors"),
             b = data::read_safetensors(with / "checkpoint-2/state.safetensors");
  EXPECT_TRUE(std::any_of(a.tensors.begin(), a.tensors.end(), [&](const auto& named) {
    return !at::equal(named.second, b.tensors.at(named.first));
  }));
  const std::string unknown = ": nothing is learnt of the states' values yet";
  EXPECT_TRUE(tests::said_so(said, "epoch 1" + unknown));
  EXPECT_FALSE(tests::said_so(said, "epoch 2" + unknown));
}

TEST(LearntValue, ResumedEqualsAnUninterruptedRunBitForBit) {
  for (const char* method : {"ddpo", "grpo"}) {
    const TrainingTask task = tests::configured_task();
    const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
    train(task, learning_config(task, method, 1), whole);
    FinetuneConfig half = learning_config(task, method, 1);
    half.num_epochs = 2;
    train(task, half, parts);
    train(task, learning_config(task, method, 1), parts, "latest");
    for (const char* file : {kState, "checkpoint-4/value/state.safetensors",
                             "checkpoint-4/value/replay.safetensors", "value/model.safetensors"})
      tests::expect_same_tensors(whole / file, parts / file);
    const auto a = metrics(whole, false), b = metrics(parts, false);
    ASSERT_EQ(a.size(), b.size());
    for (const char* name : {"value/explained", "value/explained_early", "value/loss"})
      EXPECT_EQ(a.back()[name], b.back()[name]) << name;
  }
}

// Of four epochs the first is learnt from, and not explained before.
TEST(LearntValue, IsMeasuredOnEachEpochBeforeItLearnsFromIt) {
  const TrainingTask task = tests::tiny_task();
  FinetuneConfig config = learning_config(task, "grpo", 0);
  config.learning_rate = 1e-5;  // nearly the same model draws all epochs
  config.images_per_prompt = 16;
  config.num_epochs = 6;
  const fs::path folder = tests::fresh_folder();
  train(task, config, folder);
  const auto lines = metrics(folder, false);
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_FALSE(lines[0].contains("value/explained"));
  EXPECT_TRUE(lines[0].contains("value/loss"));
  for (size_t i = 1; i < lines.size(); ++i) {
    EXPECT_GE(lines[i]["value/explained"].get<double>(), 0);
    EXPECT_LE(lines[i]["value/explained"].get<double>(), 1);
  }
  EXPECT_GT(lines[5]["value/explained"].get<double>(), 0.2);
  const auto network = rewards::load_value_network(folder / "value");
  EXPECT_EQ(network.config.reward, "redness");
  EXPECT_EQ(network.config.unit, "x10");
}

TEST(LearntValueRanks, FiguresOfSeveralProcessesAreThoseOfOne) {
  const TrainingTask task = tests::tiny_task();
  const auto run = [&](const fs::path& folder, const finetune::ProcessGroup& ranks) {
    FinetuneConfig config = learning_config(task, "grpo", 1);
    config.num_epochs = 3;
    config.keep = {.epochs = 1, .write = tools::states_writer(task)};
    train(task, config, folder, "", nullptr, ranks);
  };
  if (tests::is_rank()) {
    const int code = tools::in_ranks("", {60, 40}, [&](const finetune::ProcessGroup& ranks) {
      run(tests::rank_folder() / "run", ranks);
      return 0;
    });
    EXPECT_EQ(code, 0);
    return;
  }
  const fs::path alone = tests::fresh_folder("alone"), folder = tests::fresh_folder("ranks");
  run(alone, {});
  const auto codes = tests::wait_for(tests::start_ranks(3, folder), 120);
  EXPECT_EQ(codes, std::vector<int>(3, 0)) << tests::text_of(folder / "rank-0.log");
  const auto expected = metrics(alone, false), found = metrics(folder / "run", false);
  ASSERT_EQ(expected.size(), found.size());
  for (const char* name : {"value/loss", "loss", "grad_norm", "reward_mean"}) {
    for (size_t i = 0; i < expected.size(); ++i) {
      const double value = expected[i][name].get<double>();
      EXPECT_NEAR(found[i][name].get<double>(), value, 1e-3 * std::abs(value) + 1e-5) << name;
    }
  }
  const auto kept = rewards::read_kept_chains({alone}, ""),
             gathered = rewards::read_kept_chains({folder / "run"}, "");
  ASSERT_EQ(kept.data.prompts.size(), gathered.data.prompts.size());
  EXPECT_TRUE(at::allclose(kept.data.prompts[1].latents.to(at::kFloat),
                           gathered.data.prompts[1].latents.to(at::kFloat), 1e-2, 1e-2));
}

// The chains that a run keeps are those that it drew, with what they earned.
TEST(SavedTrajectories, HaveTheLatentsAndRewardsOfTheLastEpochs) {
  const TrainingTask task = tests::tiny_task();
  for (const char* method : {"prdp", "d3po", "ddpo"}) {
    FinetuneConfig config = tests::tiny_config(method);
    config.keep = {.epochs = 2, .write = tools::states_writer(task)};
    const fs::path folder = tests::fresh_folder(method);
    train(task, config, folder);
    const auto kept = rewards::read_kept_chains({folder}, "");
    ASSERT_EQ(kept.data.prompts.size(), 4u);
    EXPECT_EQ(kept.data.timesteps.size(), 3u);
    EXPECT_EQ(kept.config.reward, "redness");
    double sum = 0;
    for (size_t p = 2; p < 4; ++p) sum += kept.data.prompts[p].rewards.sum().item<double>();
    EXPECT_NEAR(sum / 8, metrics(folder, false).back()["reward/redness"].get<double>(), 1e-9);
    const auto file =
        rewards::read_chain_file(folder / "trajectories/epoch-00004/00001.safetensors");
    // An image is latent / 5 + 0.5, and redness ten times its first channel.
    const at::Tensor image = (file.clean / 5 + 0.5).clamp(0, 1);
    EXPECT_TRUE(at::allclose(10 * image.select(1, 0).mean({1, 2}).to(at::kDouble),
                             file.rewards.select(1, 0), 1e-4, 1e-4));
    EXPECT_EQ(file.text.size(0), kept.config.text_width);
  }
}

TEST(SavedTrajectories, ChangeNothingInTheRunAndAreThoseOfAResumedOne) {
  const TrainingTask task = tests::configured_task();
  FinetuneConfig plain = tests::tiny_config("prdp"), keeping = plain;
  keeping.keep = {.epochs = 2, .write = tools::states_writer(task)};
  const fs::path without = tests::fresh_folder("without"), whole = tests::fresh_folder("whole"),
                 parts = tests::fresh_folder("parts");
  train(task, plain, without);
  train(task, keeping, whole);
  tests::run_in_parts(task, keeping, parts);
  tests::expect_same_tensors(without / kState, whole / kState);
  for (const char* epoch : {"epoch-00003", "epoch-00004"}) {
    const fs::path file = fs::path("trajectories") / epoch / "00000.safetensors";
    tests::expect_same_tensors(whole / file, parts / file);
  }
  EXPECT_FALSE(fs::exists(parts / "trajectories/epoch-00002"));
  EXPECT_FALSE(fs::exists(without / "trajectories"));
}

TEST(SavedTrajectories, OfImagesOfTheStartAreKeptOnce) {
  const TrainingTask task = tests::tiny_task();
  FinetuneConfig config = tests::tiny_config("prdp");
  config.offline = true;
  config.offline_epochs = 2;
  config.keep = {.epochs = 10, .write = tools::states_writer(task)};
  const fs::path folder = tests::fresh_folder();
  train(task, config, folder);
  EXPECT_EQ(rewards::read_kept_chains({folder}, "").data.prompts.size(), 4u);
}

TEST(SavedTrajectories, AreInTheForecast) {
  const TrainingTask task = tests::tiny_task();
  FinetuneConfig config = tests::tiny_config("ddpo");
  const auto without = finetune::forecast(task, config);
  config.keep.epochs = 3;
  const auto with = finetune::forecast(task, config);
  // 8 images of 3 x 8 x 8 values: three states of 2 bytes, an end of 4
  EXPECT_EQ(with.kept_bytes, 3 * 8 * 192 * (3 * 2 + 4));
  EXPECT_EQ(with.disk_bytes - without.disk_bytes, with.kept_bytes);
  EXPECT_NE(finetune::forecast_text(with).find("trajectories"), std::string::npos);
  EXPECT_EQ(finetune::forecast_text(without).find("\ntrajectories"), std::string::npos);
  config.keep.epochs = 100;  // of four epochs
  EXPECT_EQ(finetune::forecast(task, config).kept_bytes, 4 * 8 * 192 * (3 * 2 + 4));
}

}  // namespace
