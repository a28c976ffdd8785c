#include "finetune/forward/online.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "finetune/forward/averaged_policy.hpp"
#include "finetune/forward/forecast.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/forward/methods/imitation.hpp"
#include "finetune/forward/winner_watch.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/families.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::ForwardConfig;
using finetune::ForwardMethod;

ForwardConfig small_run(const ForwardMethod& method) {
  auto config = tests::short_online_run<ForwardConfig>();
  config.method = method;
  config.num_inner_epochs = 2;
  config.draws = 2;
  config.train_batch_size = 5;
  return config;
}

finetune::RunResult run(const ForwardConfig& config,
                        const std::filesystem::path& folder,
                        const std::string& resume = "",
                        std::vector<std::string>* said = nullptr,
                        const finetune::TrainingTask& task = tests::tiny_task()) {
  return finetune::run_online(task, config,
                              tests::run_options(folder, config.method.name, config.seed, resume),
                              tests::reporter_into(said));
}

TEST(Online, EveryMethodWritesALoraThatChangesTheImages) {
  for (const auto& method : finetune::forward_methods()) {
    const auto folder = tests::fresh_folder(method.name);
    std::vector<std::string> said;
    const auto result = run(small_run(method), folder, "", &said);
    EXPECT_EQ(result.steps, 8) << method.name;
    EXPECT_TRUE(std::filesystem::exists(folder / "pytorch_lora_weights.safetensors"));
    // check_written_lora draws an image with the file and without it, and says how they differ.
    EXPECT_TRUE(std::any_of(said.begin(), said.end(), [](const std::string& line) {
      return line.find("LoRA") != std::string::npos;
    })) << method.name;
    const auto lines = tests::metrics(folder, false);
    ASSERT_EQ(lines.size(), 4u);
    for (const auto& figure : method.figures)
      EXPECT_TRUE(lines[0].contains(figure)) << method.name << ": " << figure;
  }
}

TEST(Online, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  for (const auto& method : finetune::forward_methods()) {
    ForwardConfig config = small_run(method);
    config.checkpointing_steps = 1;
    config.num_epochs = 2;
    const auto whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
    run(config, whole);
    config.num_epochs = 1;
    run(config, parts);
    config.num_epochs = 2;
    run(config, parts, "latest");
    tests::expect_same_tensors(whole / "checkpoint-4/state.safetensors",
                               parts / "checkpoint-4/state.safetensors");
    if (method.compares_with_average)
      tests::expect_same_tensors(whole / "checkpoint-4/average.safetensors",
                                 parts / "checkpoint-4/average.safetensors");
  }
}

// Every prompt in every epoch, so that each is seen again.
ForwardConfig remembering_run() {
  finetune::RaftConfig raft;
  raft.keep = 2;
  raft.memory = 3;
  ForwardConfig config = small_run(finetune::raft_method(raft));
  config.prompts_per_epoch = 4;
  return config;
}

TEST(Online, RaftWithAMemoryResumesBitForBitAndTrainsOnOldImages) {
  ForwardConfig config = remembering_run();
  const auto whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(config, whole);
  config.num_epochs = 2;
  run(config, parts);
  config.num_epochs = 4;
  run(config, parts, "latest");
  for (const char* file : {"checkpoint-8/state.safetensors", "checkpoint-8/remembered.safetensors"})
    tests::expect_same_tensors(whole / file, parts / file);
  const auto kept = data::read_safetensors(whole / "checkpoint-8/remembered.safetensors");
  EXPECT_EQ(kept.tensors.at("latents").size(0), 4 * 3);
  double old = 0;
  for (const auto& line : tests::metrics(whole, false)) {
    EXPECT_EQ(line.value("trained_images", 0.0), 8);
    old += line.value("trained_remembered", -1.0);
  }
  EXPECT_GT(old, 0);
}

TEST(Online, AnySamplerDrawsTheImages) {
  for (const char* sampler : {"dpm++2m", "euler_a", "DPM++ 2M Karras"}) {
    ForwardConfig config = small_run(finetune::forward_methods()[0]);
    config.sampling_method = sampler;
    config.num_epochs = 1;
    const auto folder = tests::fresh_folder("sampler");
    run(config, folder);
    EXPECT_FALSE(tests::metrics(folder, true).back().contains("seen/kl_nats")) << sampler;
  }
  ForwardConfig config = small_run(finetune::forward_methods()[0]);
  config.num_epochs = 1;
  const auto folder = tests::fresh_folder("chain");
  run(config, folder);
  EXPECT_GT(tests::metrics(folder, true).back().value("seen/kl_nats", 0.0), 0);
  config.sampling_method = "dmp++2m";
  EXPECT_NE(refusal([&] { run(config, tests::fresh_folder("wrong")); }).find("did you mean"),
            std::string::npos);
}

TEST(Online, TrainsAModelThatPredictsV) {
  auto pipeline = std::make_shared<diffusion::Pipeline>(*tests::tiny_pixel_pipeline());
  pipeline->scheduler = tests::tiny_sd2v().scheduler;
  finetune::TrainingTask task = tests::tiny_task();
  const finetune::TrainingTask v = finetune::make_training_task(pipeline);
  task.pipeline = v.pipeline;
  task.unet = v.unet;
  for (const auto& method : finetune::forward_methods()) {
    ForwardConfig config = small_run(method);
    config.num_epochs = 2;
    config.snr_gamma = 5;
    const auto folder = tests::fresh_folder(method.name);
    EXPECT_EQ(run(config, folder, "", nullptr, task).skipped_steps, 0) << method.name;
  }
}

TEST(Online, ARewardThatDoesNotVaryIsRefused) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards[0].reward.score = [](const rewards::RewardBatch& batch) {
    return at::ones({batch.images.size(0)});
  };
  const std::string said = refusal([&] {
    run(small_run(finetune::forward_methods()[0]), tests::fresh_folder(), "", nullptr, task);
  });
  EXPECT_NE(said.find("reward: expected values that differ between images of a prompt"),
            std::string::npos)
      << said;
}

TEST(Online, AnEpochWithoutASpreadTeachesNothing) {
  finetune::TrainingTask task = tests::tiny_task();
  int64_t calls = 0;
  const auto redness = task.rewards[0].reward.score;
  task.rewards[0].reward.score = [&](const rewards::RewardBatch& batch) {
    return ++calls == 1 ? redness(batch) : at::ones({batch.images.size(0)});
  };
  ForwardConfig config = small_run(finetune::forward_methods()[0]);
  config.num_epochs = 2;
  config.eval_prompts = 0;
  config.guard = "off";
  std::vector<std::string> said;
  EXPECT_EQ(run(config, tests::fresh_folder(), "", &said, task).steps, 2);
  EXPECT_TRUE(std::any_of(said.begin(), said.end(), [](const std::string& line) {
    return line.find("nothing is learnt") != std::string::npos;
  }));
}

TEST(Online, ForecastsFromRealSteps) {
  for (const auto& method : finetune::forward_methods()) {
    const auto forecast = finetune::forecast_online(tests::tiny_task(), small_run(method));
    EXPECT_GT(forecast.seconds_update, 0) << method.name;
    EXPECT_EQ(forecast.images, 32);
    EXPECT_GE(forecast.seconds, 4 * (forecast.seconds_draw + forecast.seconds_update) * 0.999);
    EXPECT_NE(finetune::forecast_text(forecast).find("images rated     32"), std::string::npos);
  }
}

TEST(AveragedPolicy, FollowsTheParametersFurtherBehindFromEpochToEpoch) {
  const train::Params params{{"w", at::zeros({1}, at::kDouble)}};
  auto policy = finetune::make_averaged(params);
  params[0].value.fill_(1);
  finetune::follow_epoch(policy, 1, 0.1, 0.5);
  EXPECT_NEAR(policy.average.shadow[0].item<double>(), 0.9, 1e-12);
  finetune::follow_epoch(policy, 100, 0.1, 0.5);
  EXPECT_NEAR(policy.average.shadow[0].item<double>(), 0.95, 1e-12);
  finetune::restart_average(policy);
  EXPECT_EQ(policy.average.shadow[0].item<double>(), 1);
  const auto folder = tests::fresh_folder();
  policy.braked = true;
  finetune::save_average(folder, policy);
  auto other = finetune::make_averaged({{"w", at::zeros({1}, at::kDouble)}});
  finetune::load_average(folder, other);
  EXPECT_EQ(other.average.shadow[0].item<double>(), 1);
  EXPECT_TRUE(other.braked);
  auto wrong = finetune::make_averaged({{"v", at::zeros({1}, at::kDouble)}});
  EXPECT_NE(refusal([&] { finetune::load_average(folder, wrong); }).find("expected v"),
            std::string::npos);
}

TEST(WinnerWatch, WarnsOnceWhenThePreferredImagesAreUnlearnt) {
  std::vector<std::string> said;
  const auto reporter = tests::reporter_into(&said);
  finetune::WinnerWatch watch;
  watch_winner(watch, {{"error_preferred", 0.100}, {"error_preferred_start", 0.1}}, reporter);
  watch_winner(watch, {{"error_preferred", 0.9}}, reporter);
  EXPECT_TRUE(said.empty());
  for (int i = 0; i < 2; ++i)
    watch_winner(watch, {{"error_preferred", 0.12}, {"error_preferred_start", 0.1}}, reporter);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("unlearnt"), std::string::npos);
}

}  // namespace
