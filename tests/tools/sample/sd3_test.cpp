// The commands on Stable Diffusion 3: sampling, what a user is told, and what is refused.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tools/checkpoints/inspect_command.hpp"
#include "tools/finetune/distill/command.hpp"
#include "tools/sample/command.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kSd35 = golden::folder() / "sd3" / "sd35";

// Its stdout and stderr.
std::string run(const tools::Command& command, const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  std::string text;
  try {
    EXPECT_EQ(command.run(arguments), 0);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    testing::internal::GetCapturedStderr();
    throw;
  }
  text = testing::internal::GetCapturedStdout();
  return text + testing::internal::GetCapturedStderr();
}

std::vector<std::string> sample_of(const fs::path& model, const fs::path& out) {
  return {"-m",  model.string(), "-o",         out.string(), "--device",
          "cpu", "-p",           "a red star", "--seed",     "3"};
}

void add(std::vector<std::string>& arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
}

// The parameters of the one image in a folder.
std::string parameters_in(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".png") continue;
    return data::png_text_of(data::read_file(entry.path()), entry.path().string()).at("parameters");
  }
  ADD_FAILURE() << "no image in " << folder;
  return "";
}

TEST(Sd3Sample, MakesAnImageAndSaysHowItWasMade) {
  const fs::path out = tests::fresh_folder();
  auto arguments = sample_of(kSd35, out);
  add(arguments, {"--max_sequence_length", "20"});
  run(tools::kSample, arguments);
  const std::string parameters = parameters_in(out);
  for (const char* part : {"Steps: 28", "CFG scale: 7", "Sampler: Euler", "Size: 16x16",
                           "T5 tokens: 20", "Model: sd35"})
    EXPECT_NE(parameters.find(part), std::string::npos) << part << " in\n" << parameters;
}

TEST(Sd3Sample, WithoutT5ZerosStandInItsPlace) {
  const fs::path out = tests::fresh_folder();
  auto arguments = sample_of(kSd35, out);
  add(arguments, {"--no_t5", "--steps", "2", "--sampler", "heun", "--cfg_scale", "1"});
  run(tools::kSample, arguments);
  const std::string parameters = parameters_in(out);
  for (const char* part : {"Steps: 2", "CFG scale: 1", "T5 tokens: 256 zeros (no T5)"})
    EXPECT_NE(parameters.find(part), std::string::npos) << part << " in\n" << parameters;
}

TEST(Sd3Sample, ASingleFileIsSampled) {
  const fs::path folder = tests::fresh_folder(), out = folder / "out";
  fs::copy(golden::folder() / "sd3/single_file", folder / "model");
  for (const char* name : {"tokenizer", "tokenizer_2", "tokenizer_3"})
    fs::copy(kSd35 / name, folder / "model" / name, fs::copy_options::recursive);
  auto from_file = sample_of(folder / "model/model.safetensors", out / "file"),
       from_folder = sample_of(kSd35, out / "folder");
  for (auto* arguments : {&from_file, &from_folder}) {
    add(*arguments, {"--steps", "3", "--save_latents", (folder / "x.safetensors").string()});
    run(tools::kSample, *arguments);
    fs::rename(folder / "x.safetensors",
               folder / (arguments == &from_file ? "a.safetensors" : "b.safetensors"));
  }
  EXPECT_TRUE(at::equal(data::read_safetensors(folder / "a.safetensors").tensors.at("x0"),
                        data::read_safetensors(folder / "b.safetensors").tensors.at("x0")));
}

TEST(Sd3Sample, WhatDoesNotGoIsSaidInOneLine) {
  const auto say = [](const std::vector<std::string>& more) {
    auto arguments = sample_of(kSd35, tests::fresh_folder());
    add(arguments, more);
    return refusal([&] { run(tools::kSample, arguments); });
  };
  const auto expect = [&](const std::vector<std::string>& more, const std::string& said) {
    const std::string found = say(more);
    EXPECT_NE(found.find(said), std::string::npos) << found;
  };
  expect({"--width", "18"}, "multiples of 4 pixels");
  expect({"--height", "64"}, "at most 32 pixels a side");
  expect({"--max_sequence_length", "0"}, "[1, 512]");
  expect({"--prompt_weighting"}, "--prompt_weighting");
  expect({"--sampler", "pndm"}, "flow-matching");
  auto other = sample_of(golden::folder() / "pipeline", tests::fresh_folder());
  add(other, {"--max_sequence_length", "20"});
  EXPECT_NE(refusal([&] { run(tools::kSample, other); }).find("reads no rows of T5"),
            std::string::npos);
}

TEST(Sd3Inspect, NamesTheFamilyAndItsParts) {
  const std::string folder = run(tools::kInspect, {kSd35.string()});
  for (const char* part :
       {"Stable Diffusion 3", "3.5 medium's form", "flow_prediction", "VAE shift factor",
        "transformer of Stable Diffusion 3, diffusers' names", "T5 encoder", "CLIP text encoder"})
    EXPECT_NE(folder.find(part), std::string::npos) << part << " in\n" << folder;
  const std::string file =
      run(tools::kInspect, {(golden::folder() / "sd3/single_file/model.safetensors").string()});
  for (const char* part : {"checkpoint of Stable Diffusion 3, original names",
                           "transformer, VAE, CLIP-L, CLIP-G, T5", "3.5 medium"})
    EXPECT_NE(file.find(part), std::string::npos) << part << " in\n" << file;
}

TEST(Sd3Training, DistillIsRefusedByName) {
  const fs::path out = tests::fresh_folder();
  const std::string distilled = refusal([&] {
    run(tools::kDistill,
        {"-m", kSd35.string(), "--data", "world", "-o", (out / "a").string(), "--device", "cpu"});
  });
  EXPECT_NE(distilled.find("flow matching, which laurel does not distill"), std::string::npos)
      << distilled;
}

}  // namespace
