// The embedded checkpoints, against the images that Python's diffusers samples from them.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <sstream>

#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/pretrain/exam.hpp"
#include "tests/support/paths.hpp"

namespace {

// golden: a file of tests/golden that make/make_tiny_world.py wrote.
void expect_images_of_diffusers(const std::string& golden, const std::string& model) {
  const std::filesystem::path root = tests::source_dir();
  const auto file = data::read_safetensors(root / "tests/golden" / golden);
  const auto pipeline = diffusion::load_pipeline(root / "models" / model);
  finetune::ExamOptions options;
  options.num_inference_steps = std::stoll(file.metadata.at("steps"));
  options.guidance_scale = std::stod(file.metadata.at("guidance"));
  options.seed = std::stoll(file.metadata.at("seed"));
  std::istringstream lines(file.metadata.at("prompts"));
  std::vector<std::string> prompts;
  const at::Tensor& expected = file.tensors.at("images");  // [B, 3, 64, 64]
  for (std::string line; static_cast<int64_t>(prompts.size()) < expected.size(0);
       prompts.push_back(line)) {
    std::getline(lines, line);
    if (lines.fail()) line.clear();  // the last prompt is the empty one
  }
  const at::Tensor images = finetune::sample_prompts(pipeline, prompts, options);
  // 3.9e-6 where the golden was made; guidance grows another processor's rounding to 3.8e-4.
  EXPECT_LE((images - expected).abs().max().item<double>(), 1e-3);
}

TEST(TinyWorld, SamplesTheImagesThatDiffusersSamples) {
  expect_images_of_diffusers("tiny_world.safetensors", "tiny-world");
}

TEST(TinyWorldFlow, SamplesTheImagesThatDiffusersSamples) {
  expect_images_of_diffusers("tiny_world_flow.safetensors", "tiny-world-flow");
}

}  // namespace
