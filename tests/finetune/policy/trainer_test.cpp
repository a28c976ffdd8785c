#include "finetune/policy/trainer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/profile/flops.hpp"
#include "data/weights/safetensors.hpp"
#include "finetune/estimate/forecast.hpp"
#include "tests/finetune/policy/trainer_run.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::FinetuneConfig;
using finetune::TrainingTask;
using tests::metrics;
using tests::run;
using tests::run_in_parts;
using tests::said_so;
using tests::tiny_config;

TrainingTask tiny_task() { return tests::configured_task(); }

TEST(Trainer, RaisesTheRewardAndLeavesACompleteFolder) {
  FinetuneConfig config = tiny_config();
  config.num_epochs = 12;
  config.images_per_prompt = 24;
  config.sample_batch_size = config.train_batch_size = 48;
  config.learning_rate = 1e-3;
  config.target_kl = 1e5;
  config.train_full = true;
  const fs::path folder = tests::fresh_folder("prdp");
  std::vector<std::string> said;
  const auto result = run(tiny_task(), config, folder, "", &said);
  EXPECT_EQ(result.epochs, 12);
  EXPECT_EQ(result.steps, 12);
  EXPECT_GT(result.trained.value(), 0.3);
  const auto evaluations = metrics(folder, true);
  ASSERT_EQ(evaluations.size(), 7u);
  EXPECT_GT(evaluations.back()["seen/redness"].get<double>(),
            evaluations.front()["seen/redness"].get<double>());
  EXPECT_GT(evaluations.back()["unseen/win_rate"].get<double>(), 0.5);
  EXPECT_GT(evaluations.back()["seen/kl_nats"].get<double>(), 0.01);
  EXPECT_EQ(evaluations.front()["seen/kl_nats"].get<double>(), 0);
  EXPECT_EQ(metrics(folder, false).size(), 12u);
  for (const char* name :
       {"config.toml", "run.json", "checkpoint-12/state.safetensors", "samples/base/0000.png",
        "samples/step-12/scores.jsonl", "unet/config.json"}) {
    EXPECT_TRUE(fs::exists(folder / name)) << name;
  }
  EXPECT_TRUE(said_so(said, "in the paper's mean units"));
}

// The reference's pass is what a method that compares with the start pays more.
TEST(Trainer, TheStartScoresAnEpochOnlyForMethodsThatCompareWithIt) {
  const auto flops = [&](const char* method, const fs::path& folder) {
    FinetuneConfig config = tiny_config(method);
    config.num_epochs = 3;
    const double all =
        static_cast<double>(data::count_flops([&] { run(tiny_task(), config, folder); }));
    return std::pair{all, finetune::forecast(tiny_task(), config)};
  };
  const fs::path with = tests::fresh_folder("prdp"), without = tests::fresh_folder("ddpo");
  const auto [prdp, prdp_forecast] = flops("prdp", with);
  const auto [ddpo, ddpo_forecast] = flops("ddpo", without);
  const FinetuneConfig config = tiny_config();
  // The first epoch is drawn by the starting model itself.
  const double pass = 2.0 *
                      static_cast<double>(config.prompts_per_epoch * config.images_per_prompt *
                                          config.sample_num_steps) *
                      ddpo_forecast.flop_per_step;
  EXPECT_NEAR((prdp - ddpo) / pass, 1, 0.1);  // images of a prompt share its text's keys
  EXPECT_NEAR((prdp_forecast.flop - ddpo_forecast.flop) / pass, 1, 1e-3);
  EXPECT_TRUE(metrics(with, false).back().contains("kl_nats"));
  EXPECT_FALSE(metrics(without, false).back().contains("kl_nats"));
  EXPECT_GT(metrics(without, true).back()["seen/kl_nats"].get<double>(), 0);
}

void expect_resumed_equals_whole(const std::string& method,
                                 bool full,
                                 const std::vector<int64_t>& branch = {}) {
  FinetuneConfig config = tiny_config(method);
  config.branch = branch;
  config.num_inner_epochs = 2;
  config.prompts_per_update = 1;
  config.timestep_fraction = 0.5;
  config.ema_decay = 0.9;
  config.train_full = full;
  config.learning_rate = full ? 1e-4 : 1e-2;
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(tiny_task(), config, whole);
  run_in_parts(tiny_task(), config, parts);
  tests::expect_same_tensors(whole / "checkpoint-16/state.safetensors",
                             parts / "checkpoint-16/state.safetensors");
  auto a = metrics(whole, true), b = metrics(parts, true);
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(a.back()["seen/redness"].get<double>(), b.back()["seen/redness"].get<double>());
  // A run that is complete stays as it is; what came after its checkpoint goes.
  const std::string lines = data::read_file(parts / "metrics.jsonl");
  data::append_line(parts / "metrics.jsonl", R"({"step":16,"evaluation":true})");
  run(tiny_task(), config, parts, "latest");
  EXPECT_EQ(data::read_file(parts / "metrics.jsonl"), lines);
  // From an older checkpoint, what came after it is written again, once.
  run(tiny_task(), config, parts, "checkpoint-8");
  tests::expect_same_tensors(whole / "checkpoint-16/state.safetensors",
                             parts / "checkpoint-16/state.safetensors");
  EXPECT_EQ(metrics(parts, false).size(), 4u);
  EXPECT_EQ(fs::exists(whole / "unet" / "diffusion_pytorch_model.safetensors"), full);
  const std::string kohya = whole.filename().string() + ".safetensors";
  for (const fs::path& place : {whole, whole / "checkpoint-16"}) {
    EXPECT_EQ(fs::exists(place / "pytorch_lora_weights.safetensors"), !full);
    EXPECT_EQ(fs::exists(place / kohya), !full);
  }
}

TEST(Trainer, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  for (const auto& method : finetune::policy_methods()) {
    SCOPED_TRACE(method.name);
    expect_resumed_equals_whole(method.name, /*full=*/false);
  }
}

TEST(Trainer, SoDoesOneOfTrees) {
  for (const char* method : {"prdp", "grpo"}) expect_resumed_equals_whole(method, false, {0, 1});
}

TEST(Trainer, SoDoesOneOfTheWholeUNet) { expect_resumed_equals_whole("prdp", /*full=*/true); }

TEST(Trainer, ATreeThatPartsAtTheStartIsTheFlatRunBitForBit) {
  for (const auto& method : finetune::policy_methods()) {
    SCOPED_TRACE(method.name);
    FinetuneConfig config = tiny_config(method.name);
    config.num_epochs = 2;
    const fs::path flat = tests::fresh_folder("flat"), tree = tests::fresh_folder("tree");
    run(tiny_task(), config, flat);
    config.branch = {0};
    run(tiny_task(), config, tree);
    tests::expect_same_tensors(flat / "checkpoint-2/state.safetensors",
                               tree / "checkpoint-2/state.safetensors");
    EXPECT_EQ(metrics(tree, false).back()["transitions"].get<int64_t>(), 8 * 3);
  }
}

// Evaluations stay flat; the first one's images are those of the start.
TEST(Trainer, ATreeDrawsFewerTransitionsForAsManyImages) {
  FinetuneConfig config = tiny_config();
  const fs::path flat = tests::fresh_folder("flat"), tree = tests::fresh_folder("tree");
  run(tiny_task(), config, flat);
  config.branch = {0, 2};
  run(tiny_task(), config, tree);
  const auto lines = metrics(tree, false);
  EXPECT_EQ(lines.back()["transitions"].get<int64_t>(), 2 * (2 * 2 + 4));
  EXPECT_EQ(lines.back()["queries"].get<int64_t>(), 4 * 8);
  EXPECT_EQ(metrics(flat, true).front()["seen/redness"],
            metrics(tree, true).front()["seen/redness"]);
  const auto forecast = finetune::forecast(tiny_task(), config);
  EXPECT_EQ(forecast.transitions, 2 * (2 * 2 + 4));
  EXPECT_NE(finetune::forecast_text(forecast).find("transitions     16 an epoch"),
            std::string::npos);
}

TEST(Trainer, LearnsFromImagesOfTheStart) {
  FinetuneConfig config = tiny_config();
  config.train_full = true;
  config.offline = true;
  config.offline_epochs = 2;
  config.num_inner_epochs = 2;
  config.learning_rate = 1e-3;
  config.target_kl = 1e5;
  config.images_per_prompt = 24;
  config.num_epochs = 8;
  const fs::path folder = tests::fresh_folder("offline");
  EXPECT_GT(run(tiny_task(), config, folder).trained.value(), 0.1);
  EXPECT_EQ(metrics(folder, false).back()["queries"].get<int64_t>(), 2 * 48);
}

// With a target_kl that does not bind: this network is some hundred nats away after eight epochs.
TEST(Trainer, EveryMethodRaisesTheReward) {
  for (const auto& method : finetune::policy_methods()) {
    FinetuneConfig config = tiny_config(method.name);
    config.train_full = true;
    config.images_per_prompt = 24;
    config.sample_batch_size = config.train_batch_size = 48;
    config.num_epochs = config.eval_every = 8;
    config.target_kl = 1e5;
    config.learning_rate = 1e-3;
    EXPECT_GT(run(tiny_task(), config, tests::fresh_folder(method.name)).trained.value(), 0.3)
        << method.name;
  }
}

TEST(Trainer, WarnsOnceOfAKlFarAboveItsTarget) {
  const auto task = tests::tiny_task();
  for (const auto& [target, warnings] : {std::pair<double, int64_t>{1e-9, 1}, {1e9, 0}}) {
    finetune::FinetuneConfig config = tests::tiny_config();
    config.num_epochs = 3;
    config.beta = 0;
    config.target_kl = target;
    std::vector<std::string> said;
    finetune::run_finetune(task, config,
                           tests::run_options(tests::fresh_folder(), "prdp", config.seed, ""),
                           tests::reporter_into(&said));
    EXPECT_EQ(std::count_if(said.begin(), said.end(),
                            [](const std::string& line) {
                              return line.starts_with("warning: a KL of ") &&
                                     line.find("times target_kl") != std::string::npos;
                            }),
              warnings);
  }
}

TEST(Trainer, FailedRewardsAreDroppedAndAllOfThemAreSkipped) {
  TrainingTask task = tiny_task();
  int calls = 0;
  task.rewards[0].reward.score = [&](const rewards::RewardBatch& batch) {
    at::Tensor scores = tests::channel_reward("redness", 0, false).score(batch);
    if (++calls == 3) scores.fill_(std::numeric_limits<float>::quiet_NaN());
    scores[0] = std::numeric_limits<float>::quiet_NaN();
    return scores;
  };
  const fs::path folder = tests::fresh_folder("nan");
  FinetuneConfig config = tiny_config();
  const auto result = run(task, config, folder);
  EXPECT_EQ(result.epochs, 4);
  const auto lines = metrics(folder, false);
  EXPECT_EQ(lines[0]["dropped"].get<int>(), 1);
  EXPECT_EQ(lines[1]["degenerate_prompts"].get<int>(), 2);
}

TEST(Trainer, AGradientThatIsNotFiniteSkipsTheStepAndNamesTheLayer) {
  auto params = train::Params{{"mid_block.to_q.lora_A.weight", at::ones({2}).requires_grad_(true)},
                              {"mid_block.to_q.lora_B.weight", at::ones({2}).requires_grad_(true)}};
  auto optimizer = finetune::make_optimizer(tiny_config(), params, 10);
  params[0].value.mutable_grad() = at::ones({2});
  params[1].value.mutable_grad() = at::full({2}, std::numeric_limits<float>::infinity());
  const auto bad = finetune::take_step(optimizer);
  EXPECT_EQ(bad.fault, "the gradient of mid_block.to_q.lora_B.weight");
  EXPECT_TRUE(at::equal(params[0].value, at::ones({2})));
  EXPECT_EQ(optimizer.step, 0);
  const auto before = finetune::take_snapshot(optimizer);
  params[0].value.mutable_grad() = at::ones({2});
  EXPECT_EQ(finetune::take_step(optimizer).fault, "");
  EXPECT_FALSE(at::equal(params[0].value, at::ones({2})));
  params[1].value.detach().fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(finetune::faulty_value(params).value(), "mid_block.to_q.lora_B.weight");
  finetune::restore(before, optimizer);
  EXPECT_TRUE(at::equal(params[0].value, at::ones({2})));
  EXPECT_TRUE(at::equal(params[1].value, at::ones({2})));
}

TEST(Trainer, GoesBackWhenTheParametersBlowUp) {
  FinetuneConfig config = tiny_config();
  config.train_full = true;
  config.learning_rate = 1e30;
  config.num_epochs =
      3;  // the second and the evaluation after the third see what the first and the third did
  config.eval_every = 0;
  std::vector<std::string> said;
  const fs::path folder = tests::fresh_folder("blown");
  const auto result = run(tiny_task(), config, folder, "", &said);
  EXPECT_EQ(result.lost_epochs, 2);
  EXPECT_TRUE(said_so(said, "is not finite: back to the last good parameters"));
  const auto unet = data::read_safetensors(folder / "checkpoint-2" / "state.safetensors");
  for (const auto& [name, tensor] : unet.tensors) {
    if (!name.starts_with("param.")) continue;
    EXPECT_LT(tensor.abs().max().item<double>(), 100) << name;
  }
}

// The network changes between drawing and training: whenever its images are scored.
TEST(Trainer, RefusesARunWhoseLogProbabilitiesCannotBeReplayed) {
  TrainingTask task = tiny_task();
  task.rewards[0].reward.score = [&task, score = task.rewards[0].reward.score](const auto& batch) {
    diffusion::for_each_tensor(task.unet, "",
                               [](const std::string&, at::Tensor& tensor) { tensor.mul_(1.05); });
    return score(batch);
  };
  const std::string message =
      refusal([&] { run(task, tiny_config(), tests::fresh_folder("drift")); });
  EXPECT_NE(message.find("self-test: log-probabilities"), std::string::npos) << message;
}

TEST(Trainer, RefusesAnotherRunsFolderAndAChangedConfiguration) {
  FinetuneConfig config = tiny_config();
  config.num_epochs = 2;
  const fs::path folder = tests::fresh_folder("taken");
  run(tiny_task(), config, folder);
  EXPECT_NE(refusal([&] { run(tiny_task(), config, folder); }).find("found a run of prdp"),
            std::string::npos);
  TrainingTask changed = tiny_task();
  changed.config_text = "learning_rate = 0.02\nnum_epochs = 9\n";
  const std::string message = refusal([&] { run(changed, config, folder, "latest"); });
  EXPECT_NE(message.find("learning_rate: the checkpoint was made with 0.01, found 0.02"),
            std::string::npos)
      << message;
  config.method = finetune::policy_method("ddpo");
  EXPECT_NE(
      refusal([&] { run(tiny_task(), config, folder, "latest"); }).find("expected a run of ddpo"),
      std::string::npos);
  EXPECT_NE(
      refusal([&] { run(tiny_task(), config, folder, "checkpoint-77"); }).find("checkpoint-77"),
      std::string::npos);
  const fs::path other = tests::fresh_folder("other");
  data::write_file(other / "holiday.txt", "x");
  EXPECT_NE(refusal([&] { run(tiny_task(), tiny_config(), other); }).find("new or empty folder"),
            std::string::npos);
}

TEST(Trainer, RefusesARewardThatDoesNotVary) {
  TrainingTask task = tiny_task();
  task.rewards[0].reward.score = [](const rewards::RewardBatch& batch) {
    return at::ones({batch.images.size(0)});
  };
  EXPECT_NE(refusal([&] {
              run(task, tiny_config(), tests::fresh_folder("flat"));
            }).find("found no difference"),
            std::string::npos);
}

TEST(Checkpoints, TheOldestGoFirst) {
  const fs::path folder = tests::fresh_folder("limit");
  for (const char* step : {"2", "10", "9"})
    data::write_file(folder / (std::string("checkpoint-") + step) / "state.safetensors", "x");
  finetune::prune_checkpoints(folder, 2);
  const auto left = finetune::checkpoints(folder);
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].filename(), "checkpoint-9");
  EXPECT_EQ(finetune::find_checkpoint(folder, "latest")->filename(), "checkpoint-10");
}

TEST(WinRate, CountsTiesAsHalf) {
  EXPECT_DOUBLE_EQ(finetune::win_rate(at::tensor({1.0, 2.0, 3.0}), at::tensor({1.0, 1.0, 4.0})),
                   0.5);
}

}  // namespace
