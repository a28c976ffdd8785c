#include "finetune/draft/draft.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::DraftConfig;
using finetune::DraftMethod;

DraftConfig small_config(const DraftMethod& method) {
  DraftConfig config = method.defaults();
  config.max_train_steps = 4;
  config.train_batch_size = 4;
  config.sample_num_steps = 5;
  config.sample_guidance_scale = 2;
  config.learning_rate = 1e-3;
  config.train_full = true;
  config.eval_every = 2;
  config.eval_prompts = 2;
  config.eval_images = 2;
  config.checkpointing_steps = 2;
  config.checkpoints_total_limit = 0;
  return config;
}

finetune::RunResult run(const DraftMethod& method,
                        const DraftConfig& config,
                        const std::filesystem::path& folder,
                        const std::string& resume = "") {
  return finetune::run_draft(tests::tiny_task(), method, config,
                             tests::run_options(folder, method.name, config.seed, resume),
                             tests::reporter_into(nullptr));
}

TEST(Draft, EveryMethodRaisesTheReward) {
  for (const auto& method : finetune::draft_methods()) {
    DraftConfig config = small_config(method);
    config.max_train_steps = 12;
    config.eval_every = 0;
    EXPECT_GT(run(method, config, tests::fresh_folder(method.name)).trained.value(), 0.2)
        << method.name;
  }
}

TEST(Draft, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  for (const auto& method : finetune::draft_methods()) {
    DraftConfig config = small_config(method);
    const auto whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
    run(method, config, whole);
    config.max_train_steps = 2;
    run(method, config, parts);
    config.max_train_steps = 4;
    run(method, config, parts, "latest");
    tests::expect_same_tensors(whole / "checkpoint-4/state.safetensors",
                               parts / "checkpoint-4/state.safetensors");
  }
}

TEST(Draft, RefusesARewardWithoutAGradient) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards = {{tests::channel_reward("redness", 0, false), 1.0}};
  const DraftMethod& method = finetune::draft_methods()[0];
  const auto folder = tests::fresh_folder();
  const std::string said = refusal([&] {
    finetune::run_draft(task, method, small_config(method),
                        tests::run_options(folder, method.name, 0, ""),
                        tests::reporter_into(nullptr));
  });
  EXPECT_NE(said.find("redness: expected a differentiable reward"), std::string::npos) << said;
  EXPECT_NE(said.find("prdp"), std::string::npos) << said;
}

TEST(Draft, ForecastsFromRealSteps) {
  DraftConfig config = small_config(finetune::draft_methods()[0]);
  const auto forecast = finetune::forecast_draft(tests::tiny_task(), config);
  EXPECT_GT(forecast.seconds_step, 0);
  EXPECT_GT(forecast.seconds, 4 * forecast.seconds_step * 0.99);
  EXPECT_GT(forecast.trained_values, 0);
  EXPECT_NE(finetune::forecast_text(forecast).find("s a step"), std::string::npos);
}

}  // namespace
