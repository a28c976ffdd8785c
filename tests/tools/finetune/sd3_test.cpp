// `laurel finetune` on Stable Diffusion 3: a few steps of the chain's methods and of the reward's
// gradient, a LoRA or the whole transformer.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tools/finetune/command.hpp"
#include "tools/finetune/draft_command.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kSd35Model = golden::folder() / "sd3" / "sd35";

std::vector<std::string> arguments_of(const fs::path& place) {
  data::write_file(place / "prompts.txt", "a red star\na blue square\ntwo squares\na star\n");
  return {"--model=" + kSd35Model.string(),
          "--no_t5",
          "--prompts=" + (place / "prompts.txt").string(),
          "--output_dir=" + (place / "run").string(),
          "--reward=brightness",
          "--device=cpu",
          "--sample_num_steps=3",
          "--sample_guidance_scale=1",
          "--eval_prompts=1",
          "--eval_images=1",
          "--learning_rate=0.01"};
}

void run(const tools::Command& command,
         const fs::path& place,
         const std::vector<std::string>& more) {
  auto arguments = arguments_of(place);
  arguments.insert(arguments.end(), more.begin(), more.end());
  EXPECT_EQ(command.run(arguments), 0);
}

const std::vector<std::string> kEpochs = {"--num_epochs=1", "--prompts_per_epoch=2",
                                          "--images_per_prompt=2", "--eval_every=1"};

std::vector<std::string> with_epochs(std::vector<std::string> more) {
  more.insert(more.end(), kEpochs.begin(), kEpochs.end());
  return more;
}

// The largest change of a weight; the file's names are diffusers'.
double change_between(const diffusion::Network& after) {
  const auto before = diffusion::tensors_of(diffusion::load_network(kSd35Model / "transformer"));
  double largest = 0;
  for (const auto& [name, tensor] : diffusion::tensors_of(after).tensors) {
    EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
    const double change = (tensor - before.tensors.at(name)).abs().max().item<double>();
    if (name == "pos_embed.pos_embed") {
      EXPECT_EQ(change, 0);
    }
    largest = std::max(largest, change);
  }
  return largest;
}

diffusion::Network with_lora_of(const fs::path& run) {
  diffusion::Network network = diffusion::load_network(kSd35Model / "transformer");
  const auto lora = diffusion::read_lora(run / "pytorch_lora_weights.safetensors");
  EXPECT_TRUE(lora.parts.contains("transformer"));
  auto target = diffusion::lora_target(network);
  diffusion::apply_loras(target, {{std::make_shared<diffusion::LoraWeights>(lora)}});
  return network;
}

TEST(Sd3Finetune, AChainMethodWithFlowGrposNoiseTrainsALora) {
  const fs::path place = tests::fresh_folder();
  run(tools::kFinetune, place, with_epochs({"grpo", "--step_kind=flow_sde"}));
  EXPECT_GT(change_between(with_lora_of(place / "run")), 1e-4);
  const std::string config = data::read_file(place / "run/config.toml");
  EXPECT_NE(config.find("step_kind = 'flow_sde'"), std::string::npos) << config;
  EXPECT_NE(config.find("sample_eta = 0.7"), std::string::npos) << config;
}

TEST(Sd3Finetune, PrdpTrainsTheWholeTransformer) {
  const fs::path place = tests::fresh_folder();
  run(tools::kFinetune, place, with_epochs({"prdp", "--train=full"}));
  EXPECT_GT(change_between(diffusion::load_network(place / "run/transformer")), 1e-4);
}

TEST(Sd3Finetune, TheRewardsGradientGoesThroughTheChain) {
  const fs::path place = tests::fresh_folder();
  const tools::Command* draft = tools::find_command(tools::draft_commands(), "draft");
  ASSERT_NE(draft, nullptr);
  run(*draft, place,
      {"--max_train_steps=1", "--train_batch_size=2", "--last_steps=2", "--eval_every=1"});
  EXPECT_GT(change_between(with_lora_of(place / "run")), 1e-4);
}

TEST(Sd3Finetune, ASideThatThePatchDoesNotDivideIsRefused) {
  const fs::path place = tests::fresh_folder();
  EXPECT_NE(refusal([&] {
              run(tools::kFinetune, place, with_epochs({"prdp", "--resolution=18"}));
            }).find("multiples of 4 pixels"),
            std::string::npos);
}

}  // namespace
