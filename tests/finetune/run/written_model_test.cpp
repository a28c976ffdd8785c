#include "finetune/run/written_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/model_spec.hpp"
#include "finetune/policy/trainer.hpp"
#include "finetune/run/file_metadata.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

std::vector<std::string> said_by_run(const finetune::FinetuneConfig& config,
                                     const std::filesystem::path& folder) {
  std::vector<std::string> said;
  finetune::TrainingTask task = tests::tiny_task();
  task.config_text += "metadata_author = \"Ada\"\nmetadata_license = 'CC0-1.0'\n";
  finetune::run_finetune(task, config, tests::run_options(folder, "prdp", config.seed, ""),
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

bool says(const std::vector<std::string>& said, const std::string& line) {
  return std::find(said.begin(), said.end(), line) != said.end();
}

TEST(WrittenModel, WhereItGoesIsSaid) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 1;
  const auto folder = tests::fresh_folder("mine");
  const std::string file = (folder / folder.filename()).string() + ".safetensors";
  const auto said = said_by_run(config, folder);
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_TRUE(says(
      said, "ComfyUI: " + file + ": copy it to models/loras/, and load it by the node Load LoRA"));
  EXPECT_TRUE(says(said, "web UIs: " + file +
                             ": copy it to models/Lora/, and write <lora:NAME:1> in the prompt"));
}

// modelspec.* of the specification, and the rewards.
void expect_described(const std::filesystem::path& file, const std::string& architecture) {
  const auto metadata = data::read_safetensors(file).metadata;
  EXPECT_EQ(metadata.at("modelspec.sai_model_spec"), "1.0.0") << file;
  EXPECT_EQ(metadata.at("modelspec.architecture"), architecture);
  EXPECT_EQ(metadata.at("modelspec.author"), "Ada");
  EXPECT_EQ(metadata.at("modelspec.license"), "CC0-1.0");
  EXPECT_EQ(metadata.at("modelspec.prediction_type"), "epsilon");
  EXPECT_TRUE(metadata.at("modelspec.thumbnail").starts_with("data:image/jpeg;base64,/9j/"));
  EXPECT_EQ(metadata.at("modelspec.hash_sha256"),
            "0x" + diffusion::tensors_sha256(data::read_safetensors(file)));
  EXPECT_NE(metadata.at("laurel.rewards").find(":1.0"), std::string::npos)
      << metadata.at("laurel.rewards");
}

TEST(WrittenModel, FilesSayWhatTheyAre) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 1;
  const auto folder = tests::fresh_folder("lora");
  said_by_run(config, folder);
  expect_described(folder / "pytorch_lora_weights.safetensors", "stable-diffusion-v1/lora");
  expect_described((folder / folder.filename()).string() + ".safetensors",
                   "stable-diffusion-v1/lora");
  EXPECT_NE(data::read_file(folder / "README.md").find("license: \"CC0-1.0\"\n"),
            std::string::npos);
  config.train_full = true;
  const auto whole = tests::fresh_folder("whole");
  said_by_run(config, whole);
  expect_described(whole / "unet" / "diffusion_pytorch_model.safetensors", "stable-diffusion-v1");
}

TEST(WrittenModel, OptionsAreReadFromTheConfiguration) {
  const std::string text = "seed = 3\na = \"x \\\"y\\\" = z\"\nb = 'c'\n";
  EXPECT_EQ(finetune::text_option(text, "a"), "x \"y\" = z");
  EXPECT_EQ(finetune::text_option(text, "b"), "c");
  EXPECT_EQ(finetune::text_option(text, "none"), "");
}

TEST(WrittenModel, TensorBoardsFileHasImagesTextsAndParameters) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.num_epochs = 1;
  const auto folder = tests::fresh_folder();
  said_by_run(config, folder);
  std::string events;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("events.out"))
      events += data::read_file(entry.path());
  }
  for (const char* part :
       {"samples/0", "\x89PNG", "prompts", "configuration", "_hparams_/experiment",
        "_hparams_/session_start_info", "_hparams_/session_end_info", "images_per_second"})
    EXPECT_NE(events.find(part), std::string::npos) << part;
}

}  // namespace
