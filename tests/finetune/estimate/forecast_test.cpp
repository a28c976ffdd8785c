#include "finetune/estimate/forecast.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/device/memory.hpp"
#include "finetune/estimate/measure.hpp"
#include "finetune/estimate/memory.hpp"
#include "finetune/estimate/step_costs.hpp"
#include "finetune/estimate/trial_run.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::FinetuneConfig;
using tests::tiny_config;
using tests::tiny_task;

TEST(Forecast, AddsUpWhatTheConfigurationAsksFor) {
  FinetuneConfig config = tiny_config();
  const auto short_run = finetune::forecast(tiny_task(), config);
  EXPECT_EQ(short_run.queries, 4 * 8);
  EXPECT_EQ(short_run.evaluated, 3 * 8);
  EXPECT_EQ(short_run.optimizer_steps, 4);
  EXPECT_GT(short_run.peak_bytes, 1e7);
  config.num_epochs = 8;
  config.eval_every = 4;
  const auto long_run = finetune::forecast(tiny_task(), config);
  const double evaluation = 2.0 * 24 * 3 * short_run.flop_per_step;
  const double first = 1.0 * 8 * 3 * short_run.flop_per_step;  // the start does not score it again
  EXPECT_NEAR((long_run.flop - evaluation + first) / (short_run.flop - evaluation + first), 2.0,
              1e-9);
  EXPECT_NE(finetune::forecast_text(long_run).find("reward queries"), std::string::npos);
}

// What is reckoned without values is what the CPU computes and holds.
TEST(StepCosts, AreThoseOfRealSteps) {
  FinetuneConfig config = tiny_config();
  finetune::TrainingTask task = tiny_task();
  auto unet = tests::tiny_unet_config();
  unet.block_out_channels = {64,
                             128};  // large beside what libtorch's CPU kernels keep for themselves
  auto generator = at::detail::createCPUGenerator(1);
  task.unet = diffusion::make_unet(unet, generator);
  task.latent_shape = {4, 32, 32};
  for (const bool checkpointing : {false, true}) {
    config.gradient_checkpointing = checkpointing;
    config.sample_batch_size = config.train_batch_size = 4;
    const auto reckoned = finetune::step_costs(task, config, 4);
    const auto probe = finetune::make_trial_run(task, config, {4, 1, task.latent_shape});
    finetune::Trajectories drawn;
    const auto drawing = finetune::measured(at::kCPU, [&] { drawn = finetune::draw(probe); }),
               update = finetune::measured(at::kCPU, [&] { finetune::add_gradient(probe, drawn); });
    EXPECT_EQ(reckoned.draw.flop * 4, drawing.flop);
    EXPECT_EQ(reckoned.update.flop * 4, update.flop);
    // Convolutions of the CPU hold their input and output in a layout of their own as well.
    EXPECT_NEAR(reckoned.draw.bytes / drawing.bytes, 1, 0.3);
    EXPECT_NEAR(reckoned.update.bytes / update.bytes, 1, 0.1);
  }
}

TEST(Forecast, TellsTheTrajectoriesOfAnEpoch) {
  FinetuneConfig config = tiny_config();
  const double images = static_cast<double>(config.prompts_per_epoch * config.images_per_prompt),
               latents = 2.0 * static_cast<double>(config.sample_num_steps) + 1;
  EXPECT_EQ(finetune::trajectory_bytes(config, {4, 8, 8}), images * latents * 256 * 4);
  config.branch = {0, 2};  // of four images: two, two and four transitions of two starts
  EXPECT_EQ(finetune::trajectory_bytes(config, {4, 8, 8}), 2 * (2 * 8 + 2) * 256 * 4);
  config.branch = {};
  config.offline = true;
  config.offline_epochs = 3;
  EXPECT_EQ(finetune::trajectory_bytes(config, {4, 8, 8}), 3 * images * latents * 256 * 4);
}

TEST(PeakBytes, ByHand) {
  FinetuneConfig config;
  config.prompts_per_epoch = 1;
  config.images_per_prompt = 2;
  config.sample_num_steps = 3;
  config.sample_batch_size = 2;
  config.train_batch_size = 4;
  const finetune::MemoryModel model{.resident = 1000,
                                    .margin = 10,
                                    .draw = {.fixed = 5, .per_image = 100},
                                    .rate = {.fixed = 0, .per_image = 1},
                                    .update = {.fixed = 1, .per_image = 200}};
  const double kept = 2 * 3 * 4 * 50, stored = 2 * 7 * 4 * 4;  // 50 values; 4 latent values
  EXPECT_EQ(finetune::peak_bytes(model, config, {1, 2, 2}, 50, 0),
            1000 + 10 + kept + stored + 1 + 2 * 200);  // an epoch has no more than two images
  const double pictures = 2 * 10 * 3 * 64 * 4 * 4;  // 10 images of an evaluation outweigh an epoch
  EXPECT_EQ(finetune::peak_bytes(model, config, {1, 2, 2}, 50, 10),
            1000 + 10 + kept + pictures + 5 + 2 * 100);
}

std::string fitted(FinetuneConfig& config, double limit) {
  std::string said;
  config = finetune::fit_memory(tiny_task(), config, limit,
                                {.say = [&](const std::string& line) { said = line; }});
  return said;
}

TEST(FitMemory, ALooseLimitChangesNothing) {
  FinetuneConfig config = tiny_config();
  const FinetuneConfig before = config;
  const std::string said = fitted(config, 1e12);
  EXPECT_EQ(config.sample_batch_size, before.sample_batch_size);
  EXPECT_EQ(config.train_batch_size, before.train_batch_size);
  EXPECT_FALSE(config.gradient_checkpointing);
  EXPECT_NE(said.find("train_batch_size " + std::to_string(before.train_batch_size)),
            std::string::npos)
      << said;
}

TEST(FitMemory, ATightLimitIsKeptOrRefusedWithWhatFits) {
  FinetuneConfig config = tiny_config();
  config.images_per_prompt = 4096;
  config.sample_batch_size = config.train_batch_size = 65536;
  const double room = data::resident_memory() + 200e6;
  EXPECT_FALSE(fitted(config, room).empty());
  EXPECT_LT(config.train_batch_size, 65536);
  EXPECT_GE(config.train_batch_size, 1);
  try {
    fitted(config, 1e6);
    FAIL() << "a limit below the process itself was accepted";
  } catch (const data::BadInput& refusal) {
    const std::string text = refusal.what();
    EXPECT_NE(text.find("max_memory: expected at least"), std::string::npos) << text;
    EXPECT_NE(text.find("1.0 MB"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
}

}  // namespace
