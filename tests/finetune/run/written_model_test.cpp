#include "finetune/run/written_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/base/files.hpp"
#include "finetune/policy/trainer.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

std::vector<std::string> said_by_run(const finetune::FinetuneConfig& config,
                                     const std::filesystem::path& folder) {
  std::vector<std::string> said;
  finetune::run_finetune(tests::tiny_task(), config,
                         tests::run_options(folder, "prdp", config.seed, ""),
                         tests::reporter_into(&said));
  return said;
}

bool tells_of_lora(const std::vector<std::string>& said) {
  return std::any_of(said.begin(), said.end(), [](const std::string& line) {
    return line.starts_with("the written LoRA, read back, changes");
  });
}

TEST(WrittenModel, ALoraIsReadBackAndHasACard) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 1;
  const auto folder = tests::fresh_folder();
  EXPECT_TRUE(tells_of_lora(said_by_run(config, folder)));
  const std::string card = data::read_file(folder / "README.md");
  EXPECT_TRUE(card.starts_with("---\n")) << card;
  EXPECT_NE(card.find("- lora\n"), card.npos);
  EXPECT_NE(card.find("url: samples/step-1/0000.png"), card.npos) << card;
  EXPECT_TRUE(std::filesystem::exists(folder / "samples/step-1/0000.png"));
}

TEST(WrittenModel, ALoraThatChangesNothingIsAnError) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 1;
  config.learning_rate = 0;
  const auto folder = tests::fresh_folder();
  const std::string said = refusal([&] { said_by_run(config, folder); });
  EXPECT_NE(said.find("expected a LoRA that changes what the model draws"), said.npos) << said;
  EXPECT_TRUE(std::filesystem::exists(folder / "pytorch_lora_weights.safetensors"));
}

TEST(WrittenModel, AWholeNetworkIsNotReadBack) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 1;
  config.train_full = true;
  const auto folder = tests::fresh_folder();
  EXPECT_FALSE(tells_of_lora(said_by_run(config, folder)));
  EXPECT_EQ(data::read_file(folder / "README.md").find("- lora\n"), std::string::npos);
}

}  // namespace
