#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "finetune/policy/kl_bound.hpp"
#include "finetune/policy/methods/grpo_loss.hpp"
#include "tests/finetune/policy/trainer_run.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::FinetuneConfig;
using finetune::TrainingTask;
using tests::configured_task;
using tests::metrics;
using tests::run;
using tests::run_in_parts;
using tests::said_so;
using tests::tiny_config;

// What a combination learns on the way, moments and multipliers, survives an interruption.
TEST(TrainerCombination, AResumedCombinationEqualsTheUninterruptedOne) {
  TrainingTask task = configured_task();
  task.rewards.push_back({tests::channel_reward("blueness", 2, false), 0.5});
  FinetuneConfig config = tiny_config();
  config.normalise_rewards = "running";
  config.constraints = "blueness>=9";  // out of reach: its multiplier grows
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(task, config, whole);
  run_in_parts(task, config, parts);
  const auto a = metrics(whole, false), b = metrics(parts, false);
  ASSERT_EQ(a.size(), 4u);
  ASSERT_EQ(b.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(a[i]["reward_mean"].get<double>(), b[i]["reward_mean"].get<double>());
    EXPECT_EQ(a[i]["multiplier.0"].get<double>(), b[i]["multiplier.0"].get<double>());
  }
  EXPECT_GT(a[3]["multiplier.0"].get<double>(), a[1]["multiplier.0"].get<double>());
  const std::string last = "checkpoint-4/state.safetensors";
  tests::expect_same_tensors(whole / last, parts / last);
}

// Weights of auxiliaries, learnt from a primary that rates half of the images.
TEST(TrainerCombination, LearntWeightsFollowThePrimaryAndAreResumed) {
  TrainingTask task = configured_task();
  int64_t rated = 0;
  task.rewards[0].reward.score = [&rated, score = task.rewards[0].reward.score](const auto& batch) {
    rated += batch.images.size(0);
    return score(batch);
  };
  const auto redness = tests::channel_reward("", 0, true);
  task.rewards.push_back({redness, 1});
  task.rewards[1].reward.info.name = "the_same";
  task.rewards.push_back({redness, 1});
  task.rewards[2].reward = {
      .info = {.name = "the_opposite"},
      .score = [redness](const auto& batch) { return -redness.score(batch); }};
  FinetuneConfig config = tiny_config();
  config.normalise_rewards = "pooled";
  config.learn_weights = true;
  config.primary_share = 0.5;
  config.auxiliary_rate = 0.2;
  config.eval_every = config.eval_prompts = 0;
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(task, config, whole);
  EXPECT_EQ(rated, 4 * 4);  // epochs, half of eight images
  run_in_parts(task, config, parts);
  const auto a = metrics(whole, false), b = metrics(parts, false);
  ASSERT_EQ(a.size(), 4u);
  ASSERT_EQ(b.size(), 4u);
  double expected = 0;
  for (size_t i = 0; i < 4; ++i) {
    expected += 0.2 - 0.1 * expected;  // a correlation of 1
    EXPECT_NEAR(a[i]["weight/the_same"].get<double>(), expected, 1e-9);
    EXPECT_EQ(a[i]["weight/the_opposite"].get<double>(), 0);
    EXPECT_EQ(a[i]["weight/redness"].get<double>(), 1);
    EXPECT_EQ(a[i]["weight/the_same"], b[i]["weight/the_same"]);
    EXPECT_EQ(a[i]["reward_mean"], b[i]["reward_mean"]);
  }
}

// The gold falls as redness rises: its mean over the start's images is the cap.
TEST(TrainerCombination, CapsARewardWhereTheHeldOutOneTurns) {
  TrainingTask task = configured_task();
  const auto redness = tests::channel_reward("", 0, true);
  task.eval_rewards = {{{.info = {.name = "gold"},
                         .score = [redness](const auto& batch) { return -redness.score(batch); }},
                        1}};
  FinetuneConfig config = tiny_config();
  config.caps = "auto";
  config.guard = "warn";
  EXPECT_NE(refusal([&] { run(task, config, tests::fresh_folder("none")); }).find("caps: auto"),
            std::string::npos);
  task.guard_rewards = {"gold"};
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  std::vector<std::string> said;
  run(task, config, whole, "", &said);
  EXPECT_TRUE(said_so(said, "caps: redness=..")) << said.size();
  run_in_parts(task, config, parts);
  const auto a = metrics(whole, false), b = metrics(parts, false);
  ASSERT_EQ(b.size(), 4u);
  const double start = a[0]["reward/redness"];  // raw
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_LE(a[i]["reward_mean"].get<double>(), start + 1e-6);
    EXPECT_EQ(a[i]["reward_mean"], b[i]["reward_mean"]);
  }
  EXPECT_LT(a[0]["reward_mean"].get<double>(), start);
}

// The bound lies between the KLs of the run: the factor that each epoch trains with is that of the
// KLs up to it.
TEST(TrainerCombination, ABoundOnTheKlMovesTheCoefficientAndIsResumed) {
  TrainingTask task = configured_task();
  task.rewards.push_back({tests::channel_reward("blueness", 2, false), 0.5});
  for (const auto& method : {finetune::policy_method("prdp"), finetune::policy_method("dpok"),
                             finetune::grpo_method({.kl_coefficient = 1e-3})}) {
    SCOPED_TRACE(method.name);
    FinetuneConfig config = tiny_config();
    config.constraints = "blueness>=9,kl<=0.5";
    config.constraint_rate = 0.4;
    config.method = finetune::method_with_kl_bound(method, config);
    const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
    run(task, config, whole);
    run_in_parts(task, config, parts);
    const auto a = metrics(whole, false), b = metrics(parts, false);
    ASSERT_EQ(a.size(), 4u);
    ASSERT_EQ(b.size(), 4u);
    double factor = 1;
    for (size_t i = 0; i < 4; ++i) {
      const double kl = a[i]["kl_nats"].get<double>();
      factor = std::max(1.0, factor * std::exp(0.4 * std::min(kl / 0.5 - 1, 1.0)));
      EXPECT_NEAR(a[i]["multiplier.kl"].get<double>(), factor, 1e-9);
      EXPECT_NEAR(a[i]["beta"].get<double>() / a[0]["beta"].get<double>(), factor, 1e-9);
      EXPECT_EQ(a[i]["multiplier.kl"], b[i]["multiplier.kl"]);
      EXPECT_EQ(a[i]["multiplier.0"], b[i]["multiplier.0"]);
    }
    EXPECT_GT(factor, 1);
    const std::string last = "checkpoint-4/state.safetensors";
    tests::expect_same_tensors(whole / last, parts / last);
  }
}

TEST(TrainerCombination, ABoundOutOfReachIsNoBound) {
  FinetuneConfig config = tiny_config("dpok");
  const fs::path without = tests::fresh_folder("without"), with = tests::fresh_folder("with"),
                 tight = tests::fresh_folder("tight");
  const auto train = [&](const char* constraints, const fs::path& folder) {
    config.constraints = constraints;
    run(configured_task(), config, folder);
    return data::read_safetensors(folder / "checkpoint-4/state.safetensors").tensors;
  };
  const auto free = train("", without), wide = train("kl<=1e9", with),
             narrow = train("kl<=1e-6", tight);
  bool differs = false;
  for (const auto& [name, tensor] : free) {
    EXPECT_TRUE(tensor.equal(wide.at(name))) << name;
    differs = differs || !tensor.equal(narrow.at(name));
  }
  EXPECT_TRUE(differs);
  EXPECT_EQ(metrics(with, false).back()["multiplier.kl"].get<double>(), 1);
  EXPECT_FALSE(metrics(without, false).back().contains("multiplier.kl"));
}

}  // namespace
