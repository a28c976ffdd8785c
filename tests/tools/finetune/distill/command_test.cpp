#include "tools/finetune/distill/command.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "finetune/distill/config.hpp"
#include "finetune/distill/distilled_range.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tools/cli/models.hpp"
#include "tools/finetune/distill/options.hpp"

namespace {

namespace fs = std::filesystem;

std::string refused(std::vector<std::string> words) {
  words.insert(words.end(), {"--images", "16", "--eval_prompts", "0"});
  return refusal([&] { tools::kDistill.run(words); });
}

TEST(DistillCommand, BadInputIsOneLineThatSaysWhatToDo) {
  EXPECT_NE(refused({"--num_ddim_timesteps", "48"}).find("take 40 or 50"), std::string::npos);
  EXPECT_NE(refused({"--reward", "jpeg_compressibility"}).find("--latent_reward"),
            std::string::npos);
  EXPECT_NE(refused({"--train", "lora", "--unet_time_cond_proj_dim", "256"}).find("--train full"),
            std::string::npos);
  EXPECT_NE(refused({"--w_min", "9", "--w_max", "3"}).find("w_min"), std::string::npos);
  EXPECT_NE(refused({"--guidance_scale", "90"}).find("[3, 15]"), std::string::npos);
  EXPECT_NE(refused({"--reward", "aesthetic", "--caps", "clip_score=..3"}).find("clip_score"),
            std::string::npos);
  EXPECT_NE(refused({"--data", "/nowhere"}), "");
  EXPECT_NE(refused({"extra"}).find("unexpected 'extra'"), std::string::npos);
}

TEST(DistillCommand, AStudentIsNoTeacher) {
  const fs::path run = tests::fresh_folder("student");
  testing::internal::CaptureStdout();
  tools::kDistill.run({"--images", "16", "--eval_prompts", "0", "--max_train_steps", "1",
                       "--train_batch_size", "2", "--output_dir", run.string()});
  testing::internal::GetCapturedStdout();
  EXPECT_TRUE(fs::exists(run / "model" / "scheduler" / "scheduler_config.json"));
  EXPECT_NE(refused({"--model", (run / "model").string(), "--data", "world", "--prompts", "world"})
                .find("distilled already"),
            std::string::npos);
  // Sampling outside the range that it learnt is warned of.
  EXPECT_EQ(finetune::guidance_warning(run / "model", 8.5), "");
  EXPECT_NE(finetune::guidance_warning(run / "model", 30).find("3 to 15"), std::string::npos);
}

TEST(DistillCommand, AFolderIsReadAtTheModelsOwnResolution) {
  const fs::path place = tests::fresh_folder("folder");
  for (const char* name : {"a", "b", "c"}) {
    data::write_png(place / "images" / (std::string(name) + ".png"), at::rand({3, 80, 100}));
    data::write_file(place / "images" / (std::string(name) + ".txt"), "a red circle\n");
  }
  testing::internal::CaptureStdout();
  tools::kDistill.run({"--model", (tools::embedded_models() / "tiny-world").string(), "--data",
                       (place / "images").string(), "--latents", (place / "latents").string(),
                       "--eval_prompts", "0", "--max_train_steps", "1", "--train_batch_size", "2",
                       "--output_dir", (place / "run").string()});
  testing::internal::GetCapturedStdout();
  const auto kept = data::read_safetensors(place / "latents");
  EXPECT_EQ(kept.tensors.at("mean").sizes().slice(1), (std::vector<int64_t>{4, 8, 8}));
}

TEST(DistillCommand, APictureThatCannotBeReadIsNamedAndLeftOut) {
  const fs::path place = tests::fresh_folder("heic");
  for (const char* name : {"a.png", "b.png", "c.heic"}) {
    data::write_png(place / "images" / name, at::rand({3, 64, 64}));
    data::write_file((place / "images" / name).replace_extension(".txt"), "a red circle\n");
  }
  data::write_file(place / "images/c.heic", std::string("\0\0\0\x18"
                                                        "ftypheic",
                                                        12));
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  EXPECT_EQ(tools::kDistill.run({"--data", (place / "images").string(), "--eval_prompts", "0",
                                 "--max_train_steps", "1", "--train_batch_size", "2",
                                 "--output_dir", (place / "run").string()}),
            2);
  testing::internal::GetCapturedStdout();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("c.heic: not a readable image"), std::string::npos) << said;
  EXPECT_NE(said.find("1 of 3 images left out"), std::string::npos) << said;
  EXPECT_TRUE(fs::exists(place / "run/checkpoint-1"));
}

TEST(GuidanceWarning, OfAModelThatSaysNothingIsNone) {
  EXPECT_EQ(finetune::guidance_warning("/nowhere", 99), "");
  const fs::path folder = tests::fresh_folder("fixed");
  finetune::DistillConfig config;
  config.time_cond_proj_dim = 0;
  config.w = 4;
  finetune::write_distilled_range(folder, config, "teacher");
  EXPECT_EQ(finetune::guidance_warning(folder, 1), "");
  EXPECT_NE(finetune::guidance_warning(folder, 5).find("--cfg-scale 1"), std::string::npos);
}

TEST(DistillCommand, TheHelpFitsAScreen) {
  testing::internal::CaptureStdout();
  tools::kDistill.run({"--help"});
  std::istringstream text(testing::internal::GetCapturedStdout());
  int lines = 0;
  for (std::string line; std::getline(text, line);) ++lines;
  EXPECT_LE(lines, 50);
}

}  // namespace
