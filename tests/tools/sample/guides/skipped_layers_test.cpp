// Skip-layer guidance. Goldens: golden/make/make_skip_layers.py.

#include "tools/sample/guides/skipped_layers.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"
#include "tools/sample/guides/generate.hpp"

namespace {

using nlohmann::json;

diffusion::Pipeline sd35(int64_t tokens) {
  auto pipeline = diffusion::load_pipeline(golden::folder() / "sd3" / "sd35");
  diffusion::set_max_sequence_length(pipeline, tokens);
  return pipeline;
}

// -> [2, 3, 16, 16] in [0, 1]
at::Tensor images_of(const diffusion::Pipeline& pipeline,
                     const json& settings,
                     const tools::SkippedLayers& skipped) {
  std::vector<diffusion::ImageRequest> requests;
  for (size_t i = 0; i < settings["prompts"].size(); ++i) {
    requests.push_back({.prompt = settings["prompts"][i].get<std::string>(),
                        .negative_prompt = "",
                        .seed = settings["seeds"][i],
                        .latents = {}});
  }
  diffusion::GenerateOptions options;
  options.sampler.sampler = diffusion::sampler_of_class("FlowMatchEulerDiscreteScheduler");
  options.sampler.steps = settings["steps"];
  options.guidance.scale = settings["guidance"];
  options.height = options.width = 16;
  options.micro_batch = 2;
  tools::GuideSetting setting;
  setting.skipped = skipped;
  at::Tensor images;
  tools::generate_guided(setting, pipeline, requests, options,
                         [&](const diffusion::GeneratedBatch& batch) { images = batch.images; });
  return images;
}

TEST(SkippedLayers, LeadAsInDiffusers) {
  const auto goldens = data::read_safetensors(golden::folder() / "skip_layers.safetensors");
  const json settings = data::parse_json(goldens.metadata.at("settings"));
  const auto pipeline = sd35(settings["tokens"]);
  const at::Tensor plain = images_of(pipeline, settings, {});
  for (size_t i = 0; i < settings["cases"].size(); ++i) {
    const json& row = settings["cases"][i];
    SCOPED_TRACE(row.dump());
    const at::Tensor found = images_of(pipeline, settings,
                                       {.layers = row["layers"],
                                        .scale = row["scale"],
                                        .start = row["start"],
                                        .stop = row["stop"]});
    const at::Tensor expected = goldens.tensors.at(std::to_string(i) + ".images");
    golden::expect_agreement("skip-layer guidance, whole images",
                             (found - expected).abs().max().item<double>(), 1e-4);
    const bool leads = i + 1 < settings["cases"].size();
    EXPECT_EQ((found - plain).abs().max().item<double>() > 1e-2, leads);
  }
}

TEST(SkippedLayers, AScaleOfZeroChangesNothing) {
  const auto pipeline = sd35(20);
  const json settings{{"prompts", {"a red circle"}}, {"seeds", {4}}, {"steps", 3}, {"guidance", 5}};
  EXPECT_TRUE(
      at::equal(images_of(pipeline, settings, {.layers = {1}, .scale = 0, .start = 0, .stop = 1}),
                images_of(pipeline, settings, {})));
}

TEST(SkippedLayers, AreReadAndToldInOneLine) {
  const auto pipeline = sd35(20);  // of three blocks
  const auto skipped = tools::read_skipped_layers(
      {.layers = "1,0", .scale = 2.8, .start = 0.01, .stop = 0.2}, pipeline);
  EXPECT_EQ(skipped.layers, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(tools::skipped_layers_text(skipped), "0 1 x 2.8 (0.01-0.2)");
  EXPECT_TRUE(tools::read_skipped_layers({}, pipeline).layers.empty());
}

TEST(SkippedLayers, RefuseWhatDoesNotGo) {
  const auto pipeline = sd35(20);
  const auto said = [&](const tools::SkippedLayersConfig& config) {
    return refusal([&] { tools::read_skipped_layers(config, pipeline); });
  };
  for (const char* layers : {"2", "-1", "0,0", "one", "1,,0", "1.5"})
    EXPECT_NE(said({.layers = layers}).find("expected blocks from 0 to 1"), std::string::npos)
        << layers;
  EXPECT_NE(said({.layers = "1", .start = 0.5, .stop = 0.5}).find("skip_layer_guidance_stop"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              tools::read_skipped_layers({.layers = "1"}, tests::tiny_pipeline());
            }).find("expected a Stable Diffusion 3"),
            std::string::npos);
}

}  // namespace
