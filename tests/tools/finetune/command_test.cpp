#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/tiny/pipeline.hpp"
#include "tools/finetune/policy_options.hpp"
#include "tools/finetune/task.hpp"

namespace {

namespace fs = std::filesystem;

// A whole checkpoint and a prompt file; the command that finetunes it by a reward that needs no
// network.
std::string command(const fs::path& place) {
  diffusion::save_pipeline(place / "model", tests::tiny_pipeline(), at::kFloat);
  data::write_file(place / "prompts.txt", "a red circle\na blue square\na red square\na circle\n");
  return std::string(tests::program()) + " finetune prdp --model " + (place / "model").string() +
         " --prompts " + (place / "prompts.txt").string() +
         " --reward jpeg_compressibility --device cpu --num_epochs 6 --prompts_per_epoch 2 "
         "--images_per_prompt 2"
         " --sample_num_steps 3 --eval_prompts 1 --eval_images 1 --eval_every 2 "
         "--checkpointing_steps 1"
         " --learning_rate 0.01";
}
int shell(const std::string& line, const fs::path& log) {
  return std::system(("OMP_NUM_THREADS=1 " + line + " >" + log.string() + " 2>&1").c_str());
}

TEST(FinetuneCommand, AfterKillNineItGoesOnFromTheLastCheckpointBitForBit) {
  const fs::path place = tests::fresh_folder("place");
  const std::string run = command(place);
  const fs::path log = place / "log";
  ASSERT_EQ(shell(run + " --output_dir " + (place / "whole").string(), log), 0)
      << data::read_file(log);
  for (const char* seconds : {"0.7", "1.2"}) {
    const std::string parts =
        run + " --resume_from_checkpoint latest --output_dir " + (place / seconds).string();
    shell("timeout -s KILL " + std::string(seconds) + " " + parts, log);
    ASSERT_EQ(shell(parts, log), 0) << data::read_file(log);
    const auto whole =
        data::read_safetensors(place / "whole" / "checkpoint-6" / "state.safetensors");
    const auto resumed =
        data::read_safetensors(place / seconds / "checkpoint-6" / "state.safetensors");
    for (const auto& [name, tensor] : whole.tensors)
      EXPECT_TRUE(at::equal(tensor, resumed.tensors.at(name))) << name;
  }
  const std::string changed =
      run + " --resume_from_checkpoint latest --learning_rate 0.5 --output_dir ";
  EXPECT_EQ(WEXITSTATUS(shell(changed + (place / "whole").string(), log)), 2);
  EXPECT_NE(data::read_file(log).find("learning_rate"), std::string::npos) << data::read_file(log);
}

// Matrix products in bf16 leave images, rewards and log-probabilities in fp32.
TEST(FinetuneCommand, RunsInBf16WithRewardsThatReadPixels) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const std::string run = command(place) +
                          " --num_epochs 2 --precision bf16 --clip_range 5 --reward "
                          "brightness=1,colourfulness=1 --output_dir ";
  ASSERT_EQ(shell(run + (place / "dry").string() + " --dry_run", log), 0) << data::read_file(log);
  ASSERT_EQ(shell(run + (place / "mine").string(), log), 0) << data::read_file(log);
  EXPECT_TRUE(fs::exists(place / "mine" / "pytorch_lora_weights.safetensors"));
  double kl = 0;  // of the last epoch: what the first update changed is drawn from
  std::istringstream lines(data::read_file(place / "mine" / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);)
    kl = nlohmann::json::parse(line).value("kl_nats", kl);
  EXPECT_GT(kl, 0);
}

TEST(FinetuneCommand, ASingleFileTrainedWholeComesOutAsOne) {
  const fs::path place = tests::fresh_folder("place"), log = place / "log";
  const fs::path model =
      fs::path(tests::source_dir()) / "tests/golden/single_file/sd2/model.safetensors";
  const std::string run = command(place) + " --num_epochs 1 --model " + model.string() +
                          " --train full --output_dir " + (place / "mine").string();
  ASSERT_EQ(shell(run, log), 0) << data::read_file(log);
  const auto before = data::read_safetensors(model),
             after = data::read_safetensors(place / "mine" / "mine.safetensors");
  ASSERT_EQ(after.tensors.size(), before.tensors.size());
  int changed = 0;
  for (const auto& [name, tensor] : before.tensors) {
    const at::Tensor& now = after.tensors.at(name);
    EXPECT_EQ(now.scalar_type(), tensor.scalar_type()) << name;
    if (at::equal(now, tensor)) continue;
    EXPECT_TRUE(name.starts_with("model.diffusion_model.")) << name;
    ++changed;
  }
  EXPECT_GT(changed, 10);
}

TEST(FinetuneCommand, BadInputIsOneLineAndExitsWithTwo) {
  const fs::path place = tests::fresh_folder("place");
  const std::string run = command(place);
  const fs::path log = place / "log";
  struct Case {
    std::string arguments, expected;
  };
  const std::string out = " --output_dir " + (place / "out").string();
  for (const auto& [arguments, expected] : {
           Case{" --learnin_rate 1", "did you mean learning_rate?"},
           Case{" --images_per_prompt 1", "expected a value in [2, "},
           Case{" --skip_steps 1,x", "skip_steps"},
           Case{" --skip_steps 7", "expected steps from 0 to 2"},
           Case{" --prompts_per_update 9", "expected at most prompts_per_epoch (2)"},
           Case{" --adv_clip_max 3", "adv_clip_max is an option of ddpo, not of prdp"},
           Case{" --lora_targets to_z", "no layer of the UNet ends in 'to_z'"},
           Case{" --reward jpeg_compressibilty", "did you mean jpeg_compressibility?"},
           Case{" --sample_eta 0 --sigma_min 0", "at least one step with noise"},
           Case{" --prompts " + (place / "none.txt").string(), "none.txt"},
           Case{" --resume_from_checkpoint checkpoint-3", "checkpoint-3"},
       }) {
    const int status = shell(run + out + arguments, log);
    EXPECT_EQ(WEXITSTATUS(status), 2) << arguments;
    const std::string said = data::read_file(log);
    EXPECT_NE(said.find(expected), std::string::npos) << arguments << ": " << said;
    EXPECT_FALSE(fs::exists(place / "out")) << arguments;
  }
  EXPECT_EQ(WEXITSTATUS(shell(std::string(tests::program()) + " finetune prpd", log)), 2);
  EXPECT_NE(data::read_file(log).find("--help`), found 'prpd'"), std::string::npos);
}

TEST(LoadPrompts, KeepsSomeBackForValidation) {
  const fs::path file = tests::fresh_folder("prompts") / "prompts.txt";
  std::string lines;
  for (int i = 0; i < 12; ++i) lines += "prompt " + std::to_string(i) + "\n";
  data::write_file(file, lines);
  tools::FinetuneCommand command;
  command.prompts = file.string();
  command.config.eval_prompts = 3;
  const auto sets = tools::load_prompts(command, command.config.eval_prompts);
  EXPECT_EQ(sets.train.size(), 9u);
  EXPECT_EQ(sets.unseen.size(), 3u);
  EXPECT_FALSE(sets.synthetic);
  for (const auto& prompt : sets.unseen)
    EXPECT_TRUE(std::none_of(sets.train.begin(), sets.train.end(), [&](const auto& other) {
      return other.text == prompt.text;
    })) << prompt.text;
  command.prompts = "world";
  command.max_train_prompts = 32;
  const auto world = tools::load_prompts(command, command.config.eval_prompts);
  EXPECT_TRUE(world.synthetic);
  EXPECT_EQ(world.train.size(), 32u);
  EXPECT_GT(world.unseen.size(), 100u);
  command.prompts = "";
  command.checkpoint.model = "somewhere";
  EXPECT_THROW(tools::load_prompts(command, command.config.eval_prompts), data::BadInput);
}

}  // namespace
