#include "tools/studio/work/kept_models.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tools/studio/work/methods.hpp"

namespace {

namespace fs = std::filesystem;

struct KeptModels : testing::Test {
  const fs::path run = tests::fresh_folder() / "run";

  void keep(const std::string& folder) {
    data::write_file(run / folder / "state.safetensors", "");
    data::write_file(run / folder / "pytorch_lora_weights.safetensors", folder);
  }
};

TEST_F(KeptModels, AreTheCheckpointsAndTheAcceptedOne) {
  EXPECT_TRUE(studio::kept_models(run).empty());  // there is no run yet
  for (const char* folder : {"checkpoint-10", "checkpoint-2", "accepted"}) keep(folder);
  fs::create_directories(run / "samples" / "step-2");
  fs::create_directories(run / "checkpoint-30");  // half-written
  data::write_file(run / "guard.jsonl", "{\"step\":4,\"accepted\":4}\n{\"step\":6,\"acc");
  const auto kept = studio::kept_models(run);
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_EQ(kept[0].step, 2);
  EXPECT_TRUE(kept[0].shown);
  EXPECT_FALSE(kept[0].accepted);
  EXPECT_EQ(kept[1].step, 4);
  EXPECT_TRUE(kept[1].accepted);
  EXPECT_EQ(kept[1].folder, run / "accepted");
  EXPECT_EQ(kept[2].step, 10);
  EXPECT_FALSE(kept[2].shown);
  EXPECT_EQ(studio::kept_model(run, 10).folder, run / "checkpoint-10");
  EXPECT_NE(refusal([&] { studio::kept_model(run, 3); }).find("step: expected one"),
            std::string::npos);
}

TEST_F(KeptModels, OneThatIsBothIsOne) {
  keep("checkpoint-4");
  keep("accepted");
  data::write_file(run / "guard.jsonl", "{\"step\":4,\"accepted\":4}\n");
  const auto kept = studio::kept_models(run);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(kept[0].accepted);
  EXPECT_EQ(kept[0].folder, run / "checkpoint-4");
}

TEST_F(KeptModels, DrawWithTheirLoraOrNetwork) {
  keep("checkpoint-4");
  data::write_file(run / "run.json", "{\"model\": \"base\"}");
  const auto kept = studio::kept_model(run, 4);
  const fs::path lora = run / "checkpoint-4" / "pytorch_lora_weights.safetensors";
  EXPECT_EQ(studio::drawing_options(run, kept, ""),
            (std::vector<std::string>{"--model", "base", "--lora", lora}));
  EXPECT_EQ(studio::drawing_options(run, kept, run)[3], (run / "step-4.safetensors").string());
  fs::remove(lora);
  EXPECT_NE(refusal([&] { studio::drawing_options(run, kept, ""); }).find("found neither"),
            std::string::npos);
  fs::create_directories(run / "checkpoint-4" / "unet");
  EXPECT_EQ(studio::drawing_options(run, kept, "")[2], "--unet");
  data::write_file(run / "run.json", "{}");
  EXPECT_NE(refusal([&] { studio::start_of(run); }).find("started from"), std::string::npos);
}

TEST(TrainingMethods, AreThoseOfFinetune) {
  const auto& dpo = studio::training_method("dpo", true);
  EXPECT_STREQ(dpo.rounds_option, "--max_train_steps");
  EXPECT_TRUE(studio::training_method("dpo", false).online);
  EXPECT_STREQ(studio::training_method("dpo", false).rounds, "epochs");
  EXPECT_STREQ(studio::training_method("draft", false).rounds, "steps");
  EXPECT_FALSE(studio::training_method("draft", false).aggregates);
  EXPECT_FALSE(studio::training_method("raft", false).online);
  EXPECT_NE(refusal([] { studio::training_method("prdp", true); }).find("dpo, ipo, kto, simpo"),
            std::string::npos);
}

}  // namespace
