#include "diffusion/lora/read.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::LoraUse;
using diffusion::LoraWeights;
using diffusion::Pipeline;

const fs::path kGolden = golden::folder();

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

LoraUse use_of(const std::string& file, double unet = 1.0, double text = 1.0) {
  return {std::make_shared<LoraWeights>(diffusion::read_lora(kGolden / "lora" / file)), unet, text};
}

// The answers of the golden pipeline with these LoRAs, against those of diffusers.
void expect_golden(const std::string& name, const std::vector<LoraUse>& uses) {
  const at::NoGradGuard no_grad;
  const auto golden = data::read_safetensors(kGolden / "lora.safetensors");
  const auto of = [&](const std::string& key) { return golden.tensors.at(key); };
  Pipeline pipeline = diffusion::load_pipeline(kGolden / "pipeline");
  diffusion::apply_loras(pipeline, uses);
  const at::Tensor unet = diffusion::unet_forward(diffusion::unet_of(pipeline.network), of("x"),
                                                  of("t"), of("context"));
  const at::Tensor text =
      nn::clip_text_forward(pipeline.text_encoders[0].network, of("ids")).hidden;
  ::golden::expect_agreement("LoRA files, UNet", relative_error(unet, of(name + ".unet")), 1e-5);
  ::golden::expect_agreement("LoRA files, text encoder", relative_error(text, of(name + ".text")),
                             1e-5);
}

TEST(LoraGolden, EveryFormGivesDiffusersAnswers) {
  for (const char* file :
       {"kohya.safetensors", "original.safetensors", "peft.safetensors", "older.bin",
        "loha.safetensors", "lokr.safetensors", "tucker.safetensors"}) {
    expect_golden(fs::path(file).stem(), {use_of(file)});
  }
}

TEST(LoraGolden, SeveralAtOnceAddUp) {
  expect_golden("several",
                {use_of("kohya.safetensors", 0.7, 0.7), use_of("peft.safetensors", -0.4, -0.4)});
  expect_golden("base", {use_of("kohya.safetensors", 0, 0)});
  expect_golden("base", {});
}

// OneTrainer stores learnt words beside the LoRA; PEFT and diffusers save into a folder.
TEST(ReadLora, OfAFileWithWordsAndOfAFolder) {
  const LoraWeights plain = diffusion::read_lora(kGolden / "lora/kohya.safetensors");
  data::Weights file = data::read_safetensors(kGolden / "lora/kohya.safetensors");
  file.tensors["bundle_emb.sks.string_to_param.*"] = at::rand({2, 8});
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(refusal([&] {
              fs::create_directories(folder);
              diffusion::read_lora(folder);
            }).find("a folder without adapter_model.safetensors"),
            std::string::npos);
  data::write_safetensors(folder / "adapter_model.safetensors", file);
  const LoraWeights bundled = diffusion::read_lora(folder);
  EXPECT_EQ(diffusion::count_changes(bundled), diffusion::count_changes(plain));
  EXPECT_EQ(bundled.bundled_words, "sks");
  EXPECT_NE(diffusion::lora_summary(bundled).find("learnt words sks"), std::string::npos);
  EXPECT_EQ(diffusion::lora_summary(plain).find("learnt words"), std::string::npos);
}

}  // namespace
