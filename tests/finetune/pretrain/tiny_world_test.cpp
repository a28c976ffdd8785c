// The embedded checkpoint, against the images that Python's diffusers samples from it.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <sstream>

#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/pretrain/exam.hpp"
#include "tests/support/paths.hpp"

namespace {

TEST(TinyWorld, SamplesTheImagesThatDiffusersSamples) {
  const std::filesystem::path root = tests::source_dir();
  const auto golden = data::read_safetensors(root / "tests/golden/tiny_world.safetensors");
  const auto pipeline = diffusion::load_pipeline(root / "models/tiny-world");
  finetune::ExamOptions options;
  options.num_inference_steps = std::stoll(golden.metadata.at("steps"));
  options.guidance_scale = std::stod(golden.metadata.at("guidance"));
  options.seed = std::stoll(golden.metadata.at("seed"));
  std::istringstream lines(golden.metadata.at("prompts"));
  std::vector<std::string> prompts;
  const at::Tensor& expected = golden.tensors.at("images");  // [B, 3, 64, 64]
  for (std::string line; static_cast<int64_t>(prompts.size()) < expected.size(0);
       prompts.push_back(line)) {
    std::getline(lines, line);
    if (lines.fail()) line.clear();  // the last prompt is the empty one
  }
  const at::Tensor images = finetune::sample_prompts(pipeline, prompts, options);
  EXPECT_LE((images - expected).abs().max().item<double>(), 1e-4);
}

}  // namespace
