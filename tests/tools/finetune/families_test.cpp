// `laurel finetune prdp` on each family of model: a few steps, a LoRA or the whole UNet.

#include "tests/support/tiny/families.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tools/finetune/command.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Pipeline;

struct Family {
  const char* name;
  Pipeline (*make)();
  bool full;
};

void finetune(const fs::path& place, const Pipeline& pipeline, bool full) {
  diffusion::save_pipeline(place / "model", pipeline, at::kFloat);
  data::write_file(place / "prompts.txt", "a red circle\na blue square\na red square\na circle\n");
  std::vector<std::string> arguments = {"prdp",
                                        "--model=" + (place / "model").string(),
                                        "--prompts=" + (place / "prompts.txt").string(),
                                        "--output_dir=" + (place / "run").string(),
                                        "--reward=jpeg_compressibility",
                                        "--device=cpu",
                                        "--num_epochs=2",
                                        "--prompts_per_epoch=2",
                                        "--images_per_prompt=2",
                                        "--sample_num_steps=3",
                                        "--eval_prompts=1",
                                        "--eval_images=1",
                                        "--eval_every=2",
                                        "--checkpointing_steps=2",
                                        "--learning_rate=0.01"};
  if (full) arguments.push_back("--train=full");
  EXPECT_EQ(tools::kFinetune.run(arguments), 0);
}

// The largest change of a weight by what the run left behind.
double change_of(const fs::path& run, Pipeline pipeline, bool full) {
  diffusion::Network before = pipeline.network, after = before;
  if (full) {
    after = diffusion::load_unet(run / "unet");
  } else {
    const auto lora = diffusion::read_lora(run / "pytorch_lora_weights.safetensors");
    auto target = diffusion::lora_target(after);
    diffusion::apply_loras(target, {{std::make_shared<diffusion::LoraWeights>(lora)}});
  }
  const auto was = diffusion::traits(before), is = diffusion::traits(after);
  EXPECT_EQ(is.guidance_width, was.guidance_width);
  EXPECT_EQ(is.reads_time_ids, was.reads_time_ids);
  std::map<std::string, at::Tensor> tensors;
  for_each_tensor(before, "", [&](const std::string& n, at::Tensor& t) { tensors[n] = t; });
  double largest = 0;
  for_each_tensor(after, "", [&](const std::string& name, at::Tensor& tensor) {
    EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
    largest = std::max(largest, (tensor - tensors.at(name)).abs().max().item<double>());
  });
  return largest;
}

class FinetuneFamily : public testing::TestWithParam<Family> {};

TEST_P(FinetuneFamily, RunsAndChangesTheModel) {
  const fs::path place = tests::fresh_folder();
  const Pipeline pipeline = GetParam().make();
  finetune(place, pipeline, GetParam().full);
  const double change = change_of(place / "run", pipeline, GetParam().full);
  EXPECT_GT(change, 1e-3);
  EXPECT_LT(change, 1);
}

INSTANTIATE_TEST_SUITE_P(Families,
                         FinetuneFamily,
                         testing::Values(Family{"Sd1Lora", tests::tiny_pipeline, false},
                                         Family{"Sd1Full", tests::tiny_pipeline, true},
                                         Family{"Sd2vLora", tests::tiny_sd2v, false},
                                         Family{"Sd2vFull", tests::tiny_sd2v, true},
                                         Family{"SdxlLora", tests::tiny_sdxl, false},
                                         Family{"SdxlFull", tests::tiny_sdxl, true},
                                         Family{"LcmLora", tests::tiny_lcm, false},
                                         Family{"LcmFull", tests::tiny_lcm, true}),
                         [](const auto& family) { return std::string(family.param.name); });

TEST(FinetuneFamilies, AnEditingModelIsRefusedBeforeAnythingIsWritten) {
  const fs::path place = tests::fresh_folder();
  try {
    finetune(place, tests::tiny_ip2p(), false);
    FAIL();
  } catch (const data::BadInput& error) {
    const std::string said = error.what();
    EXPECT_NE(said.find("laurel finetune edit"), std::string::npos) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos);
  }
  EXPECT_FALSE(fs::exists(place / "run"));
}

}  // namespace
