// Too little memory: said before a run with what would fit, and in the midst of one nothing is
// lost.

#include <gtest/gtest.h>

#include "data/device/memory.hpp"
#include "finetune/distill/estimate.hpp"
#include "finetune/estimate/memory.hpp"
#include "finetune/policy/trainer.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/distill_task.hpp"

namespace {

namespace fs = std::filesystem;

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << "no '" << word << "' in: " << text;
}

finetune::FinetuneConfig plain_config() {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 5;
  config.eval_every = 0;
  config.eval_prompts = 0;
  config.checkpointing_steps = 0;
  return config;
}

void run(const finetune::TrainingTask& task,
         const fs::path& folder,
         const std::string& resume,
         const finetune::Reporter& reporter = {}) {
  const auto config = plain_config();
  finetune::run_finetune(task, config, tests::run_options(folder, "prdp", config.seed, resume),
                         reporter);
}

// tiny_task() whose reward finds no memory once `gone` is true.
finetune::TrainingTask task_without_memory(const bool& gone) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards[0].reward.score = [&gone, score = task.rewards[0].reward.score](
                                     const rewards::RewardBatch& batch) {
    TORCH_CHECK_WITH(OutOfMemoryError, !gone,
                     "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a capacity of ...");
    return score(batch);
  };
  return task;
}

TEST(OutOfMemory, InTheMidstOfARunLosesNothing) {
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(tests::tiny_task(), whole, "");
  bool gone = false;
  const finetune::Reporter reporter{
      .say = [&](const std::string& line) { gone = gone || line.starts_with("epoch 3:"); }};
  const std::string said = refusal([&] { run(task_without_memory(gone), parts, "", reporter); });
  expect_words(said, {"laurel finetune prdp: out of memory (CUDA out of memory. Tried to allocate "
                      "2.00 GiB); lower --train_batch_size (now 8), --sample_batch_size (now 8)",
                      "--gradient_checkpointing", "saved after epoch 3 in ", "checkpoint-3",
                      "--resume_from_checkpoint latest"});
  run(tests::tiny_task(), parts, "latest");
  tests::expect_same_tensors(whole / "checkpoint-5/state.safetensors",
                             parts / "checkpoint-5/state.safetensors");
}

TEST(OutOfMemory, BeforeTheFirstEpochHasNothingToSave) {
  const bool gone = true;
  const fs::path folder = tests::fresh_folder("none");
  const std::string said = refusal([&] { run(task_without_memory(gone), folder, ""); });
  expect_words(said, {"out of memory", "--resolution"});
  EXPECT_EQ(said.find("saved"), std::string::npos) << said;
  EXPECT_FALSE(fs::exists(folder / "checkpoint-0"));
}

TEST(OutOfMemory, OtherFaultsPass) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards[0].reward.score = [](const rewards::RewardBatch&) -> at::Tensor {
    TORCH_CHECK(false, "a fault");
  };
  EXPECT_THROW(run(task, tests::fresh_folder("fault"), ""), c10::Error);
}

// A run of large micro-batches, and what its latents of 8x8 take beside the process.
finetune::FinetuneConfig wide_config() {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.images_per_prompt = 4096;
  config.sample_batch_size = config.train_batch_size = 65536;
  return config;
}

TEST(ExpectMemory, SaysWhichSettingsWouldFit) {
  const finetune::TrainingTask task = tests::tiny_task();
  finetune::expect_memory(task, wide_config(), 1e12);
  const double room = data::resident_memory() + 200e6;
  expect_words(refusal([&] { finetune::expect_memory(task, wide_config(), room); }),
               {"memory: expected ", "(forecast)", "what would fit: sample_batch_size ",
                "train_batch_size ", "--max_memory"});
  expect_words(refusal([&] { finetune::expect_memory(task, wide_config(), 1e6); }),
               {"max_memory: expected at least", "nothing smaller fits"});
  finetune::FinetuneConfig full = wide_config();
  full.train_full = true;
  expect_words(refusal([&] { finetune::expect_memory(task, full, 1e6); }), {"nothing smaller"});
}

TEST(ExpectMemory, OfADistillationNamesTheBatch) {
  const finetune::TrainingTask task = tests::distill_task();
  const auto data = tests::distill_data();
  finetune::DistillConfig config = tests::distill_config();
  finetune::expect_memory(task, data, config, 1e12);
  config.train_batch_size = 1 << 20;
  const double room = data::resident_memory() + 300e6;
  const std::string said = refusal([&] { finetune::expect_memory(task, data, config, room); });
  expect_words(said, {"1048576 latents a step", "what would fit: train_batch_size ",
                      "with gradient_checkpointing", "--train lora"});
  expect_words(refusal([&] { finetune::expect_memory(task, data, config, 1e6); }),
               {"nothing smaller fits"});
}

TEST(WhatWouldFit, NamesThoseWithinTheLimit) {
  EXPECT_EQ(finetune::what_would_fit(
                5e9, {{"half the resolution", 6e9}, {"--train lora", 4e9}, {"both", 2e9}}),
            "what would fit: --train lora (4.00 GB), both (2.00 GB)");
  expect_words(finetune::what_would_fit(1e9, {{"both", 2e9}}), {"nothing smaller fits"});
  expect_words(finetune::what_would_fit(1e9, {}), {"nothing smaller fits"});
}

}  // namespace
