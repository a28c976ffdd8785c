#include "diffusion/pipeline/generate.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/golden.hpp"

namespace fs = std::filesystem;

namespace {

using diffusion::GenerateOptions;
using diffusion::ImageRequest;

const fs::path kGolden = golden::folder();

const diffusion::Pipeline& tiny() {  // golden/make_sample.py
  static const diffusion::Pipeline pipeline = diffusion::load_pipeline(kGolden / "pipeline");
  return pipeline;
}

diffusion::GeneratedBatch run(const diffusion::Pipeline& pipeline,
                              const std::vector<ImageRequest>& requests,
                              const GenerateOptions& options) {
  std::vector<at::Tensor> initial, latents, images;
  size_t expected = 0;
  diffusion::generate(pipeline, requests, options, [&](const diffusion::GeneratedBatch& batch) {
    EXPECT_EQ(batch.first, expected);
    expected += static_cast<size_t>(batch.images.size(0));
    initial.push_back(batch.initial);
    latents.push_back(batch.latents);
    images.push_back(batch.images);
  });
  EXPECT_EQ(expected, requests.size());
  return {.first = 0,
          .initial = at::cat(initial),
          .latents = at::cat(latents),
          .images = at::cat(images)};
}

std::vector<ImageRequest> five() {
  std::vector<ImageRequest> requests;
  for (const char* prompt : {"a red circle", "a star", "two blue squares", "a red circle", ""}) {
    requests.push_back(
        {.prompt = prompt, .negative_prompt = "", .seed = 10 + requests.size(), .latents = {}});
  }
  return requests;
}

GenerateOptions options_of(const char* sampler, int64_t micro_batch, double eta = 0) {
  GenerateOptions options;
  options.sampler = {
      .sampler = diffusion::sampler_of_flag(sampler), .steps = 4, .eta = eta, .on_step = {}};
  options.guidance.scale = 3.0;
  options.micro_batch = micro_batch;
  return options;
}

TEST(Generate, ImagesEqualDiffusers) {
  const auto golden = data::read_safetensors(kGolden / "sample.safetensors");
  const auto rows = data::read_json(kGolden / "sample.json");
  for (size_t i = 0; i < rows["cases"].size(); ++i) {
    const auto& row = rows["cases"][i];
    diffusion::Pipeline pipeline = tiny();
    const auto& settings = row["settings"];
    if (settings.contains("use_karras_sigmas"))
      pipeline.scheduler.sigma_schedule =
          diffusion::sampler_from_name("euler_karras", "").sigma_schedule;
    if (settings.contains("timestep_spacing"))
      pipeline.scheduler.timestep_spacing = diffusion::Spacing::kTrailing;
    std::vector<ImageRequest> requests;
    for (size_t k = 0; k < 2; ++k) {
      requests.push_back({.prompt = rows["prompts"][k].get<std::string>(),
                          .negative_prompt = row["negative"].get<std::string>(),
                          .seed = rows["seeds"][k],
                          .latents = {}});
      if (row.contains("latents"))
        requests[k].latents = golden.tensors.at("latents")[static_cast<int64_t>(k)];
    }
    GenerateOptions options;
    const std::string sampler =
        settings.contains("algorithm_type") ? "dpm++2m_sde" : std::string(row["sampler"]);
    options.sampler = {.sampler = diffusion::sampler_from_name(sampler, "").sampler,
                       .steps = row["steps"],
                       .eta = row["eta"],
                       .on_step = {}};
    options.guidance.scale = row["guidance"];
    options.micro_batch = 2;
    const at::Tensor expected = golden.tensors.at(std::to_string(i) + ".images");
    const double error =
        (run(pipeline, requests, options).images - expected).abs().max().item<double>();
    SCOPED_TRACE(data::to_text(row));
    ::golden::expect_agreement("whole images, SD", error, 1e-4);
  }
}

TEST(Generate, AnImageIsTheSameBitsWhereverItStands) {
  const auto forward = five();
  std::vector<ImageRequest> backward(forward.rbegin(), forward.rend());
  const auto options = options_of("ddim", 4, 1.0);
  const at::Tensor images = run(tiny(), forward, options).images;
  EXPECT_TRUE(at::equal(run(tiny(), backward, options).images.flip(0), images));
  for (size_t i = 0; i < forward.size(); ++i) {
    EXPECT_TRUE(
        at::equal(run(tiny(), {forward[i]}, options).images[0], images[static_cast<int64_t>(i)]))
        << i;
  }
}

TEST(Generate, MicroBatchSizesAgree) {
  for (const auto sampler : {"ddim", "euler_a"}) {
    const auto one = run(tiny(), five(), options_of(sampler, 1)),
               three = run(tiny(), five(), options_of(sampler, 3));
    EXPECT_TRUE(at::equal(one.initial, three.initial));
    EXPECT_LE((one.images - three.images).abs().max().item<double>(), 1e-4);
  }
}

// Wide networks by rounding, narrow ones bit for bit.
TEST(Generate, APrepackedNetworkGivesTheSameImages) {
  const GenerateOptions options = options_of("ddim", 2);
  diffusion::Pipeline pipeline = tiny();
  const at::Tensor narrow = run(pipeline, five(), options).images;
  diffusion::prepack(pipeline, options, at::kFloat);
  EXPECT_TRUE(at::equal(run(pipeline, five(), options).images, narrow));

  diffusion::UNetConfig config = diffusion::unet_of(pipeline.network).config;
  config.block_out_channels = {320, 320};
  auto generator = at::detail::createCPUGenerator(1);
  pipeline.network = diffusion::make_unet(config, generator);
  const at::Tensor plain = run(pipeline, five(), options).images;
  diffusion::prepack(pipeline, options, at::kFloat);
  EXPECT_TRUE(diffusion::unet_of(pipeline.network).mid_block.resnets[0].conv1.weight.is_mkldnn());
  EXPECT_TRUE(at::allclose(run(pipeline, five(), options).images, plain, 1e-4, 1e-4));
}

TEST(Generate, SavedNoiseGivesTheImagesAgain) {
  const auto options = options_of("dpm++2m", 5);
  const auto first = run(tiny(), five(), options);
  auto requests = five();
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].latents = first.initial[static_cast<int64_t>(i)];
    requests[i].seed = 999;
  }
  const auto again = run(tiny(), requests, options);
  EXPECT_TRUE(at::equal(again.images, first.images));
  EXPECT_TRUE(at::equal(again.latents, first.latents));
}

TEST(Generate, GuidanceUpToOneLeavesTheNegativePromptOut) {
  auto options = options_of("ddim", 5);
  auto negative = five();
  for (auto& request : negative) request.negative_prompt = "a blue star";
  EXPECT_FALSE(at::allclose(run(tiny(), negative, options).images,
                            run(tiny(), five(), options).images, 0, 1e-3));
  options.guidance.scale = 1.0;
  EXPECT_TRUE(
      at::equal(run(tiny(), negative, options).images, run(tiny(), five(), options).images));
}

TEST(Generate, SizesFollowTheVae) {
  EXPECT_EQ(diffusion::latent_shape(tiny(), 0, 0), (std::vector<int64_t>{4, 8, 8}));
  EXPECT_EQ(diffusion::latent_shape(tiny(), 24, 32), (std::vector<int64_t>{4, 12, 16}));
  auto options = options_of("euler", 1);
  options.height = 24;
  EXPECT_EQ(run(tiny(), {five()[0]}, options).images.sizes(), at::IntArrayRef({1, 3, 24, 16}));
  options.height = 25;
  EXPECT_THROW(run(tiny(), {five()[0]}, options), data::BadInput);
}

TEST(Generate, WrongShapesThrow) {
  auto request = five()[0];
  request.latents = at::zeros({4, 8, 9});
  EXPECT_THROW(run(tiny(), {request}, options_of("ddim", 1)), c10::Error);
  EXPECT_THROW(run(tiny(), five(), options_of("ddim", 0)), c10::Error);
  const diffusion::Conditioning unequal{.text = {at::zeros({1, 32, 16}), {}},
                                        .negative = {at::zeros({2, 32, 16}), {}}};
  EXPECT_THROW(diffusion::guided_denoiser(tiny().network, unequal, {.scale = 2.0}), c10::Error);
}

}  // namespace
