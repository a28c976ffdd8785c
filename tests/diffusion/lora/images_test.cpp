// LoRAs on whole pipelines, against diffusers' images.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/golden.hpp"

namespace {

at::Tensor images_of(const diffusion::Pipeline& pipeline, const char* sampler, double guidance) {
  diffusion::GenerateOptions options;
  options.sampler = {
      .sampler = diffusion::sampler_of_flag(sampler), .steps = 4, .eta = 0, .on_step = {}};
  options.guidance.scale = guidance;
  options.micro_batch = 2;
  std::vector<diffusion::ImageRequest> requests;
  for (const auto& [prompt, seed] : std::initializer_list<std::pair<const char*, uint64_t>>{
           {"a red circle", 5}, {"two blue squares above a green star", 77}})
    requests.push_back(
        {.prompt = prompt, .negative_prompt = "", .seed = seed, .latents = {}, .source = {}});
  at::Tensor images;
  diffusion::generate(pipeline, requests, options,
                      [&](const diffusion::GeneratedBatch& batch) { images = batch.images; });
  return images;
}

void expect_golden(const std::string& name,
                   diffusion::Pipeline pipeline,
                   const char* sampler,
                   double guidance) {
  const auto file = data::read_safetensors(golden::folder() / "lora_images.safetensors");
  const auto error = [&](const std::string& key) {
    const at::Tensor images = images_of(pipeline, sampler, guidance);
    return (images - file.tensors.at(name + key)).abs().max().item<double>();
  };
  golden::expect_agreement("whole images, without a LoRA", error(".base"), 1e-4);
  const auto lora = std::make_shared<diffusion::LoraWeights>(
      diffusion::read_lora(golden::folder() / "lora" / (name + ".safetensors")));
  diffusion::apply_loras(pipeline, {{lora, 1.0, 1.0}});
  golden::expect_agreement("whole images, with a LoRA", error(".images"), 1e-4);
}

TEST(LoraImages, OfSdxlsUNetAndBothTextEncoders) {
  expect_golden("sdxl", diffusion::load_pipeline(golden::folder() / "families" / "sdxl"), "euler",
                5.0);
}

TEST(LoraImages, AnLcmLoraInFourSteps) {
  expect_golden("lcm", diffusion::load_pipeline(golden::folder() / "pipeline"), "lcm", 1.0);
}

}  // namespace
