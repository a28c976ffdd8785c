// The commands on FLUX.1: sampling, what a user is told, and what is refused.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tools/checkpoints/inspect_command.hpp"
#include "tools/checkpoints/merge_command.hpp"
#include "tools/finetune/distill/command.hpp"
#include "tools/finetune/edit_command.hpp"
#include "tools/sample/command.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kFluxModels = golden::folder() / "flux";

// Its stdout and stderr.
std::string output_of(const tools::Command& command, const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    EXPECT_EQ(command.run(arguments), 0);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    testing::internal::GetCapturedStderr();
    throw;
  }
  const std::string text = testing::internal::GetCapturedStdout();
  return text + testing::internal::GetCapturedStderr();
}

std::vector<std::string> flux_sample(const std::string& kind,
                                     const fs::path& out,
                                     const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"-m",       (kFluxModels / kind).string(),
                                     "-o",       out.string(),
                                     "--device", "cpu",
                                     "-p",       "a red star",
                                     "--seed",   "3",
                                     "--width",  "16",
                                     "--height", "16"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// The parameters of the one image in a folder.
std::string flux_parameters(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".png") continue;
    return data::png_text_of(data::read_file(entry.path()), entry.path().string()).at("parameters");
  }
  ADD_FAILURE() << "no image in " << folder;
  return "";
}

void expect_parameters(const fs::path& folder, const std::vector<std::string>& parts) {
  const std::string parameters = flux_parameters(folder);
  for (const auto& part : parts)
    EXPECT_NE(parameters.find(part), std::string::npos) << part << " in\n" << parameters;
}

TEST(FluxSample, TellsDevItsGuidanceAndSaysSo) {
  const fs::path out = tests::fresh_folder();
  output_of(tools::kSample, flux_sample("dev", out, {}));
  expect_parameters(out, {"Steps: 28", "CFG scale: 1,", "Distilled CFG Scale: 3.5",
                          "T5 tokens: 512", "Sampler: Euler", "Model: dev"});
  const fs::path other = tests::fresh_folder("other");
  output_of(tools::kSample,
            flux_sample("dev", other, {"--distilled_cfg_scale", "1.5", "--steps", "28"}));
  expect_parameters(other, {"Distilled CFG Scale: 1.5"});
}

TEST(FluxSample, SchnellTakesFourStepsAndNoGuidance) {
  const fs::path out = tests::fresh_folder();
  output_of(tools::kSample, flux_sample("schnell", out, {}));
  expect_parameters(out, {"Steps: 4", "CFG scale: 1,", "T5 tokens: 256"});
  EXPECT_EQ(flux_parameters(out).find("Distilled"), std::string::npos);
}

TEST(FluxSample, TrueGuidanceIsSaidToCostTwice) {
  const std::string said =
      output_of(tools::kSample,
                flux_sample("dev", tests::fresh_folder(), {"--cfg_scale", "3", "--steps", "2"}));
  EXPECT_NE(said.find("two passes a step"), std::string::npos) << said;
  EXPECT_NE(said.find("--distilled_cfg_scale"), std::string::npos) << said;
}

TEST(FluxSample, WhatDoesNotGoIsSaidInOneLine) {
  const auto expect = [](const std::string& kind, const std::vector<std::string>& more,
                         const std::string& said) {
    const std::string found =
        refusal([&] { output_of(tools::kSample, flux_sample(kind, tests::fresh_folder(), more)); });
    EXPECT_NE(found.find(said), std::string::npos) << found;
    EXPECT_EQ(found.find('\n'), std::string::npos) << found;
  };
  expect("dev", {"--width", "18"}, "multiples of 4 pixels");
  expect("dev", {"--no_t5"}, "FLUX.1 reads no other rows");
  expect("dev", {"--max_sequence_length", "513"}, "max_sequence_length");
  expect("dev", {"--prompt_weighting"}, "--prompt_weighting");
  expect("schnell", {"--distilled_cfg_scale", "2"}, "reads no guidance scale");
}

TEST(FluxInspect, NamesTheFamilyAndItsParts) {
  const std::string folder = output_of(tools::kInspect, {(kFluxModels / "dev").string()});
  for (const char* part : {"FLUX.1", "of dev's form", "flow_prediction",
                           "transformer of FLUX.1, diffusers' names", "T5 encoder"})
    EXPECT_NE(folder.find(part), std::string::npos) << part << " in\n" << folder;
  const std::string file =
      output_of(tools::kInspect, {(kFluxModels / "single_file/model.safetensors").string()});
  for (const char* part :
       {"checkpoint of FLUX.1, original names", "transformer, VAE, CLIP-L, T5", "dev, or made of"})
    EXPECT_NE(file.find(part), std::string::npos) << part << " in\n" << file;
}

TEST(FluxMerge, ALoraOfTheOriginalCodesLayersGoesIntoBothForms) {
  const fs::path place = tests::fresh_folder(), lora = place / "lora.safetensors";
  auto generator = at::detail::createCPUGenerator(5);
  data::Weights pair;
  const std::string module = "lora_unet_single_blocks_0_linear1";
  pair.tensors[module + ".lora_down.weight"] = at::randn({2, 32}, generator);
  pair.tensors[module + ".lora_up.weight"] = at::randn({7 * 32, 2}, generator);
  data::write_safetensors(lora, pair);
  const fs::path folder = place / "folder", file = place / "model.safetensors";
  const fs::path model = kFluxModels / "single_file/model.safetensors";
  output_of(tools::kMerge,
            {"-m", (kFluxModels / "dev").string(), "--lora", lora.string(), "-o", folder.string()});
  output_of(tools::kMerge, {"-m", model.string(), "--lora", lora.string(), "-o", file.string()});
  const auto parts =
      data::read_safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors")
          .tensors;
  const std::string block = "single_transformer_blocks.0.";
  std::vector<at::Tensor> rows;
  for (const char* name : {"attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"})
    rows.push_back(parts.at(block + name + ".weight"));
  const std::string layer = "model.diffusion_model.single_blocks.0.linear1.weight";
  const at::Tensor merged = data::read_safetensors(file).tensors.at(layer);
  EXPECT_TRUE(at::equal(merged, at::cat(rows)));
  EXPECT_FALSE(at::equal(merged, data::read_safetensors(model).tensors.at(layer)));
}

TEST(FluxTraining, DistillAndEditAreRefusedByName) {
  const fs::path out = tests::fresh_folder();
  const std::string model = (kFluxModels / "schnell").string();
  const std::string distilled = refusal([&] {
    output_of(tools::kDistill,
              {"-m", model, "--data", "world", "-o", (out / "a").string(), "--device", "cpu"});
  });
  EXPECT_NE(distilled.find("found a FluxPipeline"), std::string::npos) << distilled;
  const std::string edited = refusal([&] {
    output_of(tools::kFinetuneEdit,
              {"-m", model, "--data", "world", "-o", (out / "b").string(), "--device", "cpu"});
  });
  EXPECT_NE(edited.find("found FluxPipeline, which laurel does not train to edit"),
            std::string::npos)
      << edited;
}

}  // namespace
