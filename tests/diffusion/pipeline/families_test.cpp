// SDXL, SD2 with v-prediction, LCM and InstructPix2Pix, whole: files, conditions, images.

#include "tests/support/tiny/families.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/single_file.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Pipeline;

const fs::path kGolden = golden::folder();

const nlohmann::json& settings() {
  static const nlohmann::json file = data::read_json(kGolden / "families.json");
  return file;
}
const data::Weights& tensors() {
  static const data::Weights file = data::read_safetensors(kGolden / "families.safetensors");
  return file;
}
double difference(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>();
}

void replace_in(const fs::path& file, const std::string& key, const nlohmann::json& value) {
  auto object = data::read_json(file);
  object[key] = value;
  data::write_file(file, data::to_text(object));
}

std::vector<diffusion::ImageRequest> requests_of(const nlohmann::json& row) {
  std::vector<diffusion::ImageRequest> requests;
  for (size_t i = 0; i < settings()["prompts"].size(); ++i) {
    requests.push_back({.prompt = settings()["prompts"][i].get<std::string>(),
                        .negative_prompt = row["negative"].get<std::string>(),
                        .seed = settings()["seeds"][i],
                        .latents = {},
                        .source = {}});
    if (row["kind"] == "ip2p")
      requests.back().source = tensors().tensors.at("source")[static_cast<int64_t>(i)];
  }
  return requests;
}

diffusion::GenerateOptions options_of(const nlohmann::json& row, Pipeline& pipeline) {
  const auto& asked = row["arguments"];
  diffusion::GenerateOptions options;
  const std::string sampler = row["sampler"];
  const auto choice = diffusion::sampler_from_name(sampler, "case");
  options.sampler.sampler = choice.sampler;
  options.sampler.steps = row["steps"];
  options.guidance = {.scale = row["guidance"],
                      .image_scale = asked.value("image_guidance_scale", 1.5),
                      .rescale = asked.value("guidance_rescale", 0.0)};
  options.clip_skip = asked.value("clip_skip", 0);
  if (asked.contains("original_size")) {
    options.sizes = {.original_height = asked["original_size"][0],
                     .original_width = asked["original_size"][1],
                     .crop_top = asked["crops_coords_top_left"][0],
                     .crop_left = asked["crops_coords_top_left"][1],
                     .target_height = asked["target_size"][0],
                     .target_width = asked["target_size"][1]};
  }
  options.micro_batch = 2;
  pipeline.scheduler.sigma_schedule = nullptr;
  return options;
}

at::Tensor images_of(const Pipeline& pipeline,
                     const std::vector<diffusion::ImageRequest>& requests,
                     const diffusion::GenerateOptions& options) {
  std::vector<at::Tensor> images;
  diffusion::generate(pipeline, requests, options, [&](const diffusion::GeneratedBatch& batch) {
    images.push_back(batch.images);
  });
  return at::cat(images);
}

// The goldens' images of a family, by this model of it.
void expect_golden_images(const std::string& kind, Pipeline pipeline, const std::string& part) {
  int64_t count = 0;
  for (size_t i = 0; i < settings()["cases"].size(); ++i) {
    const auto& row = settings()["cases"][i];
    if (row["kind"] != kind) continue;
    const auto options = options_of(row, pipeline);
    const at::Tensor images = images_of(pipeline, requests_of(row), options);
    SCOPED_TRACE(row.dump());
    golden::expect_agreement(
        part, difference(images, tensors().tensors.at(std::to_string(i) + ".images")), 1e-4);
    ++count;
  }
  EXPECT_GE(count, 3);
}

class FamilyGolden : public testing::TestWithParam<std::string> {};

TEST_P(FamilyGolden, WholeImagesAreDiffusers) {
  expect_golden_images(GetParam(), diffusion::load_pipeline(kGolden / "families" / GetParam()),
                       "whole images, " + GetParam());
}

TEST(FamilySingleFile, WholeImagesAreDiffusers) {
  for (const std::string kind : {"lcm", "ip2p"}) {
    auto pipeline =
        diffusion::load_single_file(kGolden / "single_file" / kind / "model.safetensors", {})
            .pipeline;
    // An LCM's file means LCM's own schedule; the goldens take the folder's.
    pipeline.scheduler = diffusion::load_pipeline(kGolden / "families" / kind).scheduler;
    expect_golden_images(kind, pipeline, "whole images, single file");
  }
}

INSTANTIATE_TEST_SUITE_P(Families,
                         FamilyGolden,
                         testing::Values("sdxl", "sd2v", "lcm", "ip2p"),
                         [](const auto& family) { return family.param; });

TEST(FamilyText, SecondEncodersAndGeluTowersAreTransformers) {
  for (const std::string kind : {"sdxl", "sd2v"}) {
    const Pipeline pipeline = diffusion::load_pipeline(kGolden / "families" / kind);
    const nn::ClipText& text = pipeline.text_encoders.back().network;
    const auto expected = [&](const char* name) { return tensors().tensors.at(kind + name); };
    const auto out = nn::clip_text_forward(text, expected(".ids"));
    EXPECT_LE(difference(out.hidden, expected(".hidden")), 2e-5) << kind;
    EXPECT_LE(difference(out.penultimate, expected(".penultimate")), 2e-5) << kind;
    EXPECT_LE(difference(out.pooled, expected(".pooled")), 2e-5) << kind;
    EXPECT_EQ(text.config.encoder.hidden_act, nn::Activation::kGelu);
    EXPECT_EQ(text.text_projection.weight.defined(), kind == "sdxl");
  }
}

TEST(FamilyFiles, WrittenAndReadBackAreTheSameModel) {
  for (const Pipeline& pipeline : {tests::tiny_sdxl(), tests::tiny_lcm(), tests::tiny_ip2p()}) {
    const fs::path folder = tests::fresh_folder();
    diffusion::save_pipeline(folder, pipeline, at::kFloat);
    const Pipeline again = diffusion::load_pipeline(folder);
    EXPECT_EQ(again.class_name, pipeline.class_name);
    EXPECT_EQ(again.force_zeros_for_empty_prompt, pipeline.force_zeros_for_empty_prompt);
    EXPECT_EQ(data::read_json(folder / "model_index.json")["_class_name"], pipeline.class_name);
    const auto before = diffusion::encode_prompts(pipeline, {"a red circle"}),
               after = diffusion::encode_prompts(again, {"a red circle"});
    EXPECT_TRUE(at::equal(before.hidden, after.hidden));
    EXPECT_EQ(before.pooled.defined(), diffusion::is_xl(pipeline));
    if (before.pooled.defined()) {
      EXPECT_TRUE(at::equal(before.pooled, after.pooled));
    }
    EXPECT_EQ(diffusion::unet_of(again.network).config.time_cond_proj_dim,
              diffusion::unet_of(pipeline.network).config.time_cond_proj_dim);
    EXPECT_EQ(diffusion::unet_of(again.network).config.in_channels,
              diffusion::unet_of(pipeline.network).config.in_channels);
  }
}

TEST(EncodeNegatives, AnEmptyOneIsZerosWhereTheModelSaysSo) {
  auto pipeline = tests::tiny_sdxl();
  const auto negatives = diffusion::encode_negatives(pipeline, {"", "a red circle"});
  EXPECT_EQ(negatives.hidden[0].abs().max().item<double>(), 0);
  EXPECT_EQ(negatives.pooled[0].abs().max().item<double>(), 0);
  EXPECT_GT(negatives.pooled[1].abs().max().item<double>(), 0);
  const auto kept = diffusion::encode_prompts(pipeline, {""});
  EXPECT_GT(kept.hidden.abs().max().item<double>(), 0);  // the cache is not touched
  pipeline.force_zeros_for_empty_prompt = false;
  EXPECT_TRUE(at::equal(diffusion::encode_negatives(pipeline, {""}).hidden, kept.hidden));
}

TEST(FamilyFiles, MissingPartsAndMixedFamiliesAreNamed) {
  const fs::path folder = tests::fresh_folder();
  const auto load = [&] { diffusion::load_pipeline(folder); };
  diffusion::save_pipeline(folder, tests::tiny_sdxl(), at::kFloat);
  EXPECT_EQ(refusal(load), "");
  for (const char* part : {"vae", "text_encoder_2", "tokenizer_2"}) {
    fs::rename(folder / part, folder / "away");
    EXPECT_NE(refusal(load).find(std::string(part) + ": expected a part"), std::string::npos)
        << refusal(load);
    fs::rename(folder / "away", folder / part);
  }
  const fs::path index = folder / "model_index.json";
  for (const auto& [name, said] : std::vector<std::pair<std::string, std::string>>{
           {"StableDiffusionPipeline", "different families"},
           {"KolorsPipeline", "StableDiffusionXLPipeline"},
           {"LatentConsistencyModelPipeline", "different families"}}) {
    replace_in(index, "_class_name", name);
    EXPECT_NE(refusal(load).find(said), std::string::npos) << name << ": " << refusal(load);
  }
  replace_in(index, "_class_name", "StableDiffusionXLPipeline");
  replace_in(index, "requires_aesthetics_score", true);
  EXPECT_NE(refusal(load).find("refiner"), std::string::npos);
  replace_in(index, "requires_aesthetics_score", false);
  auto plain = tests::tiny_pipeline();
  diffusion::save_unet(folder / "unet", diffusion::unet_of(plain.network), at::kFloat);
  EXPECT_NE(refusal(load).find("different families"), std::string::npos) << refusal(load);
  auto other = tests::tiny_sdxl();
  auto config = diffusion::unet_of(other.network).config;
  config.projection_class_embeddings_input_dim += 1;
  tests::rebuild_unet(other, config);
  diffusion::save_unet(folder / "unet", diffusion::unet_of(other.network), at::kFloat);
  EXPECT_NE(refusal(load).find("pooled"), std::string::npos) << refusal(load);
}

TEST(FamilyFiles, ASecondEncoderWithoutAProjectionIsRefused) {
  const fs::path folder = tests::fresh_folder();
  auto pipeline = tests::tiny_sdxl();
  pipeline.text_encoders[1].network.text_projection = {};
  diffusion::save_pipeline(folder, pipeline, at::kFloat);
  EXPECT_NE(refusal([&] { diffusion::load_pipeline(folder); }).find("text_projection"),
            std::string::npos);
}

TEST(Generate, ASourceImageIsForEditingModelsAlone) {
  diffusion::GenerateOptions options;
  options.sampler.steps = 1;
  const diffusion::ImageRequest plain{
      .prompt = "a red circle", .negative_prompt = "", .seed = 1, .latents = {}, .source = {}};
  auto with_image = plain;
  with_image.source = at::full({3, 16, 16}, 0.5);
  const auto say = [&](const Pipeline& pipeline, const diffusion::ImageRequest& request) {
    return refusal([&] { images_of(pipeline, {request}, options); });
  };
  const Pipeline ip2p = tests::tiny_ip2p(), sd = tests::tiny_pipeline();
  EXPECT_EQ(say(ip2p, with_image), "");
  EXPECT_NE(say(ip2p, plain).find("--image"), std::string::npos);
  EXPECT_NE(say(sd, with_image).find("--image"), std::string::npos);
  with_image.source = at::full({3, 16, 24}, 0.5);
  EXPECT_THROW(images_of(ip2p, {with_image}, options), c10::Error);
}

TEST(Generate, AnLcmReadsItsGuidanceAndNoNegativePrompt) {
  const Pipeline pipeline = tests::tiny_lcm();
  diffusion::GenerateOptions options;
  options.sampler.steps = 2;
  diffusion::ImageRequest request{
      .prompt = "a red circle", .negative_prompt = "", .seed = 1, .latents = {}, .source = {}};
  const at::Tensor images = images_of(pipeline, {request}, options);
  request.negative_prompt = "a blue square";
  EXPECT_TRUE(at::equal(images_of(pipeline, {request}, options), images));
  options.guidance.scale = 3;
  EXPECT_FALSE(at::equal(images_of(pipeline, {request}, options), images));
}

TEST(Guidance, ByHand) {
  const at::Tensor output = at::tensor({5.0f, 2.0f, 1.0f}).view({3, 1, 1, 1});
  EXPECT_EQ(diffusion::guide_edit(output, 2.0, 3.0).item<double>(), 1 + 2.0 * 3 + 3.0 * 1);
  EXPECT_THROW(diffusion::guide_edit(at::zeros({2, 1, 1, 1}), 1, 1), c10::Error);
  const at::Tensor guided = at::tensor({-4.0f, 4.0f}).view({1, 1, 1, 2});
  const at::Tensor text = at::tensor({0.0f, 2.0f}).view({1, 1, 1, 2});
  EXPECT_TRUE(at::allclose(diffusion::rescaled(guided, text, 1.0), guided / 4));
  EXPECT_TRUE(at::allclose(diffusion::rescaled(guided, text, 0.5), guided * (0.5 / 4 + 0.5)));
  EXPECT_TRUE(at::equal(diffusion::rescaled(guided, text, 0.0), guided));
  EXPECT_THROW(diffusion::rescaled(guided, at::zeros({2, 1, 1, 2}), 0.5), c10::Error);
  const at::Tensor ids = diffusion::time_ids({.original_height = 7, .crop_left = 3}, 16, 24);
  EXPECT_TRUE(at::equal(ids, at::tensor({7.0f, 24.0f, 0.0f, 3.0f, 16.0f, 24.0f}).view({1, 6})));
}

TEST(Guidance, BranchesFollowTheNetworkAndTheScales) {
  using diffusion::GuidanceBatch;
  diffusion::NetworkTraits plain, lcm, edit;
  lcm.guidance_width = 256;
  edit.edits_images = true;
  EXPECT_EQ(diffusion::guidance_batch(plain, {.scale = 7}), GuidanceBatch::kUnconditionalPrompt);
  EXPECT_EQ(diffusion::guidance_batch(plain, {.scale = 1}), GuidanceBatch::kPrompt);
  EXPECT_EQ(diffusion::guidance_batch(lcm, {.scale = 7}), GuidanceBatch::kPrompt);
  EXPECT_EQ(diffusion::guidance_batch(edit, {.scale = 7}), GuidanceBatch::kPromptImageNone);
  EXPECT_EQ(diffusion::guidance_batch(edit, {.scale = 7, .image_scale = 0.9}),
            GuidanceBatch::kPrompt);
  EXPECT_EQ(diffusion::guidance_batch(edit, {.scale = 1}), GuidanceBatch::kPrompt);
}

}  // namespace
