#include "tools/finetune/distill_cfg_command.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "data/base/files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;

int distill(const std::string& words, const fs::path& log) {
  return WEXITSTATUS(std::system(("OMP_NUM_THREADS=1 " + std::string(tests::program()) +
                                  " finetune distill-cfg " + words + " >" + log.string() + " 2>&1")
                                     .c_str()));
}

// A whole checkpoint and a prompt file.
std::string tiny_words(const fs::path& place) {
  diffusion::save_pipeline(place / "model", tests::tiny_pipeline(), at::kFloat);
  data::write_file(place / "prompts.txt", "a red circle\na blue square\na red square\na circle\n");
  return " --model " + (place / "model").string() + " --prompts " +
         (place / "prompts.txt").string() +
         " --device cpu --sample_num_steps 2 --eval_prompts 1 --eval_images 2 --num_epochs 1 "
         "--prompts_per_epoch 2 --images_per_prompt 3 ";
}

TEST(DistillCfgCommand, ForecastsTrainsAndResumes) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const std::string words = tiny_words(place) + " --output_dir " + (place / "run").string();
  ASSERT_EQ(distill(words + " --dry_run", log), 0) << data::read_file(log);
  EXPECT_NE(data::read_file(log).find("reward queries  6 in training"), std::string::npos);
  ASSERT_EQ(distill(words, log), 0) << data::read_file(log);
  EXPECT_NE(data::read_file(log).find("deviations from the guided start"), std::string::npos)
      << data::read_file(log);
  EXPECT_TRUE(fs::exists(place / "run" / "pytorch_lora_weights.safetensors"));
  EXPECT_TRUE(fs::exists(place / "run" / "samples" / "base" / "0000.png"));
  ASSERT_EQ(distill(words + " --num_epochs 2 --resume_from_checkpoint latest", log), 0)
      << data::read_file(log);
}

TEST(DistillCfgCommand, BadInputIsOneLineAndExitsWithTwo) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const std::string words = tiny_words(place) + " --output_dir " + (place / "out").string();
  struct Case {
    std::string arguments, expected;
  };
  for (const auto& [arguments, expected] : {
           Case{"--images_per_prompt 2", "images_per_prompt: expected a value in [3, "},
           Case{"--guidance_scale 0", "guidance_scale: expected a value in"},
           Case{"--diversity_scale -1", "diversity_scale: expected a value in"},
           Case{"--prompts_per_update 3", "prompts_per_update: expected at most"},
           Case{"--sample_guidance_scale 3", "sample_guidance_scale: unknown"},
           Case{"--reward diversty", "did you mean diversity"},
           Case{"again", "unexpected 'again'"},
       }) {
    EXPECT_EQ(distill(words + " " + arguments, log), 2) << arguments;
    const std::string said = data::read_file(log);
    EXPECT_NE(said.find(expected), std::string::npos) << arguments << "\n" << said;
  }
}

}  // namespace
