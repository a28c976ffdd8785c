// `laurel finetune` on FLUX.1: a few steps of the chain's methods and of the reward's
// gradient, with every kind of a flow's noise.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/networks/network_files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tools/finetune/command.hpp"
#include "tools/finetune/draft_command.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kFluxDev = golden::folder() / "flux" / "dev";

void train_flux(const tools::Command& command,
                const fs::path& place,
                const std::vector<std::string>& more) {
  data::write_file(place / "prompts.txt", "a red star\na blue square\ntwo squares\na star\n");
  std::vector<std::string> arguments{"--model=" + kFluxDev.string(),
                                     "--prompts=" + (place / "prompts.txt").string(),
                                     "--output_dir=" + (place / "run").string(),
                                     "--reward=brightness",
                                     "--device=cpu",
                                     "--resolution=16",
                                     "--sample_num_steps=3",
                                     "--eval_prompts=1",
                                     "--eval_images=1",
                                     "--learning_rate=0.01"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  EXPECT_EQ(command.run(arguments), 0);
}

void train_by(const std::string& method,
              const fs::path& place,
              const std::string& more,
              const std::string& scale = "1") {
  train_flux(tools::kFinetune, place,
             {method, more, "--sample_guidance_scale=" + scale, "--num_epochs=1",
              "--prompts_per_epoch=2", "--images_per_prompt=2", "--eval_every=1"});
}

// The largest change of a weight.
double flux_change(const diffusion::Network& after) {
  const auto before = diffusion::tensors_of(diffusion::load_network(kFluxDev / "transformer"));
  double largest = 0;
  for (const auto& [name, tensor] : diffusion::tensors_of(after).tensors) {
    EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
    largest = std::max(largest, (tensor - before.tensors.at(name)).abs().max().item<double>());
  }
  return largest;
}

diffusion::Network with_flux_lora(const fs::path& run) {
  diffusion::Network network = diffusion::load_network(kFluxDev / "transformer");
  const auto lora = diffusion::read_lora(run / "pytorch_lora_weights.safetensors");
  auto target = diffusion::lora_target(network);
  diffusion::apply_loras(target, {{std::make_shared<diffusion::LoraWeights>(lora)}});
  return network;
}

TEST(FluxFinetune, ChainMethodsTrainALoraWithEveryNoise) {
  const std::pair<const char*, const char*> runs[] = {{"grpo", "--step_kind=flow_sde"},
                                                      {"prdp", "--step_kind=dance_sde"},
                                                      {"ddpo", "--step_kind=cps"}};
  for (const auto& [method, noise] : runs) {
    const fs::path place = tests::fresh_folder(method);
    train_by(method, place, noise);
    EXPECT_GT(flux_change(with_flux_lora(place / "run")), 1e-4) << method;
  }
}

TEST(FluxFinetune, TheWholeTransformerIsTrained) {
  const fs::path place = tests::fresh_folder();
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  train_by("prdp", place, "--train=full");
  const std::string said =
      testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("run/transformer/diffusion_pytorch_model.safetensors: copy it"),
            std::string::npos)
      << said;
  EXPECT_EQ(said.find("two passes a step"), std::string::npos) << said;
  EXPECT_GT(flux_change(diffusion::load_network(place / "run/transformer")), 1e-4);
}

TEST(FluxFinetune, TrueGuidanceIsSaidToCostTwice) {
  const fs::path place = tests::fresh_folder();
  testing::internal::CaptureStderr();
  train_by("grpo", place, "--step_kind=cps", "2");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("--sample_guidance_scale 2: two passes a step"), std::string::npos) << said;
}

TEST(FluxFinetune, TheRewardsGradientGoesThroughTheChain) {
  const fs::path place = tests::fresh_folder();
  const tools::Command* draft = tools::find_command(tools::draft_commands(), "draft");
  ASSERT_NE(draft, nullptr);
  train_flux(*draft, place,
             {"--sample_guidance_scale=1", "--max_train_steps=1", "--train_batch_size=2",
              "--last_steps=2", "--eval_every=1"});
  EXPECT_GT(flux_change(with_flux_lora(place / "run")), 1e-4);
}

}  // namespace
