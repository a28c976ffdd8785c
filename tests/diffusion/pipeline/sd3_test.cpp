// Stable Diffusion 3 and 3.5, whole: files, text, images. Goldens: golden/make/make_sd3.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/checkpoints/single_file.hpp"
#include "diffusion/checkpoints/traits.hpp"
#include "diffusion/pipeline/encode_together.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Pipeline;
using nlohmann::json;

const fs::path kSd3 = golden::folder() / "sd3";
const fs::path kFile = kSd3 / "single_file" / "model.safetensors";

const json& sd3_settings() {
  static const json file = data::read_json(golden::folder() / "sd3.json");
  return file;
}
const data::Weights& sd3_tensors() {
  static const data::Weights file = data::read_safetensors(golden::folder() / "sd3.safetensors");
  return file;
}

double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

// The pipeline of a case, as diffusers was set for it.
void prepare(Pipeline& pipeline, const json& row) {
  if (!row["t5"]) pipeline.t5_text->encoder = nullptr;
  diffusion::set_max_sequence_length(pipeline, row["tokens"]);
  if (row["scheduler"].value("use_dynamic_shifting", false))
    pipeline.scheduler.flow->use_dynamic_shifting = true;
}

std::vector<std::string> sd3_prompts() { return sd3_settings()["prompts"]; }

at::Tensor images_of(const Pipeline& pipeline, const json& row) {
  std::vector<diffusion::ImageRequest> requests;
  for (size_t i = 0; i < sd3_prompts().size(); ++i) {
    requests.push_back({.prompt = sd3_prompts()[i],
                        .negative_prompt = row["negative"].get<std::string>(),
                        .seed = sd3_settings()["seeds"][i],
                        .latents = {}});
  }
  diffusion::GenerateOptions options;
  options.sampler.sampler = diffusion::sampler_of_class(row["sampler"]);
  options.sampler.steps = row["steps"];
  options.guidance.scale = row["guidance"];
  options.height = row["height"];
  options.width = row["width"];
  options.clip_skip = row["clip_skip"];
  options.micro_batch = 2;
  std::vector<at::Tensor> images;
  diffusion::generate(pipeline, requests, options, [&](const diffusion::GeneratedBatch& batch) {
    images.push_back(batch.images);
  });
  return at::cat(images);
}

void expect_golden_text(const Pipeline& pipeline, const json& row, const std::string& number) {
  const auto expected = [&](const char* name) { return sd3_tensors().tensors.at(number + name); };
  const diffusion::TextOptions options{.clip_skip = row["clip_skip"]};
  const auto texts = sd3_prompts();
  const auto text = diffusion::encode_prompts(pipeline, {texts.begin(), texts.end()}, options);
  const std::string negative = row["negative"];
  const auto other = diffusion::encode_negatives(pipeline, {negative, negative}, options);
  for (const auto& [name, found] :
       {std::pair{".hidden", text.hidden}, std::pair{".pooled", text.pooled},
        std::pair{".negative_hidden", other.hidden}, std::pair{".negative_pooled", other.pooled}})
    golden::expect_agreement("SD3, text", relative_difference(found, expected(name)), 1e-5);
}

int64_t expect_golden(const std::string& kind, const std::function<Pipeline()>& load) {
  int64_t count = 0;
  for (size_t i = 0; i < sd3_settings()["cases"].size(); ++i) {
    const json& row = sd3_settings()["cases"][i];
    if (row["kind"] != kind) continue;
    SCOPED_TRACE(row.dump());
    Pipeline pipeline = load();
    prepare(pipeline, row);
    const std::string number = std::to_string(i);
    expect_golden_text(pipeline, row, number);
    const at::Tensor images = images_of(pipeline, row);
    const at::Tensor expected = sd3_tensors().tensors.at(number + ".images");
    golden::expect_agreement("whole images, " + kind,
                             (images - expected).abs().max().item<double>(), 1e-4);
    ++count;
  }
  return count;
}

TEST(Sd3Golden, TextAndImagesAreDiffusers) {
  for (const std::string kind : {"sd3", "sd35"})
    EXPECT_GE(expect_golden(kind, [&] { return diffusion::load_pipeline(kSd3 / kind); }), 4);
}

// A copy of a golden folder.
fs::path copy_of(const fs::path& golden) {
  const fs::path folder = tests::fresh_folder(golden.filename().string());
  fs::copy(golden, folder, fs::copy_options::recursive);
  return folder;
}

// The single file with T5's tokenizer and those of the CLIPs beside it.
fs::path whole_file() {
  const fs::path folder = copy_of(kSd3 / "single_file");
  for (const char* name : {"tokenizer", "tokenizer_2", "tokenizer_3"})
    fs::copy(kSd3 / "sd35" / name, folder / name, fs::copy_options::recursive);
  return folder / "model.safetensors";
}

TEST(Sd3Golden, TheSingleFileIsTheFolder) {
  const fs::path file = whole_file();
  EXPECT_GE(expect_golden("sd35", [&] { return diffusion::load_single_file(file, {}).pipeline; }),
            4);
}

void replace_in(const fs::path& file, const std::string& key, const json& value) {
  auto object = data::read_json(file);
  object[key] = value;
  data::write_file(file, data::to_text(object));
}

TEST(Sd3Text, ManyTextsTogetherAreEachAlone) {
  for (const bool without_t5 : {false, true}) {
    const Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd35", {.without_t5 = without_t5});
    const std::vector<std::string> texts{"a red star", "", "two blue squares"};
    const auto together = diffusion::encode_together(pipeline, texts);
    const auto alone = diffusion::encode_prompts(pipeline, {texts.begin(), texts.end()});
    EXPECT_TRUE(at::allclose(together.hidden, alone.hidden, 1e-5, 1e-5));
    EXPECT_TRUE(at::allclose(together.pooled, alone.pooled, 1e-5, 1e-5));
  }
}

// A model that was trained without rows in T5's place says so.
TEST(Sd3Files, SayHowManyRowsStandInThePlaceOfAnAbsentT5) {
  Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd35", {.without_t5 = true});
  const fs::path usual = tests::fresh_folder("_usual"), folder = tests::fresh_folder("_none");
  diffusion::save_pipeline(usual, pipeline, at::kFloat);
  EXPECT_FALSE(data::read_json(usual / "model_index.json").contains("_max_sequence_length"));
  const int64_t ids = pipeline.text_encoders[0].tokenizer.max_length;
  diffusion::set_max_sequence_length(pipeline, 0);
  diffusion::save_pipeline(folder, pipeline, at::kFloat);
  EXPECT_EQ(data::read_json(folder / "model_index.json")["_max_sequence_length"], 0);
  const auto rows = [](const Pipeline& of) {
    return diffusion::encode_prompts(of, {"a star"}).hidden.size(1);
  };
  EXPECT_EQ(rows(diffusion::load_pipeline(folder)), ids);
  EXPECT_EQ(rows(diffusion::load_pipeline(usual)), ids + 256);
  for (const json& wrong : {json(-1), json(513), json("none"), json(1.5)}) {
    replace_in(folder / "model_index.json", "_max_sequence_length", wrong);
    const std::string message = refusal([&] { diffusion::load_pipeline(folder); });
    EXPECT_NE(message.find("_max_sequence_length: expected a whole number in [0, 512]"),
              std::string::npos)
        << message;
  }
}

TEST(Sd3Files, SayTheGuidanceThatTheyWereTrainedFor) {
  Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd35", {.without_t5 = true});
  const fs::path usual = tests::fresh_folder("_usual"), folder = tests::fresh_folder("_one");
  diffusion::save_pipeline(usual, pipeline, at::kFloat);
  EXPECT_FALSE(data::read_json(usual / "model_index.json").contains("_guidance_scale"));
  EXPECT_FALSE(diffusion::load_pipeline(usual).guidance_scale);
  pipeline.guidance_scale = 1.5;
  diffusion::save_pipeline(folder, pipeline, at::kFloat);
  EXPECT_EQ(diffusion::load_pipeline(folder).guidance_scale, 1.5);
  for (const json& wrong : {json(-1), json(101), json("none")}) {
    replace_in(folder / "model_index.json", "_guidance_scale", wrong);
    const std::string message = refusal([&] { diffusion::load_pipeline(folder); });
    EXPECT_NE(message.find("_guidance_scale: expected a number in [0, 100]"), std::string::npos)
        << message;
  }
}

TEST(Sd3Files, WrittenAndReadBackAreTheSameModel) {
  for (const bool without_t5 : {false, true}) {
    const Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd35", {.without_t5 = without_t5});
    const fs::path folder = tests::fresh_folder();
    diffusion::save_pipeline(folder, pipeline, at::kFloat);
    EXPECT_EQ(fs::exists(folder / "text_encoder_3"), !without_t5);
    EXPECT_EQ(data::read_json(folder / "model_index.json")["text_encoder_3"][0].is_null(),
              without_t5);
    const Pipeline again = diffusion::load_pipeline(folder);
    EXPECT_EQ(again.class_name, "StableDiffusion3Pipeline");
    EXPECT_EQ(again.t5_text->encoder == nullptr, without_t5);
    EXPECT_EQ(again.scheduler.flow->shift, 3);
    EXPECT_EQ(again.vae.config.shift_factor, 0.0609);
    const auto before = diffusion::encode_prompts(pipeline, {"a red star"}),
               after = diffusion::encode_prompts(again, {"a red star"});
    EXPECT_TRUE(at::equal(before.hidden, after.hidden));
    EXPECT_TRUE(at::equal(before.pooled, after.pooled));
  }
}

TEST(Sd3Files, AChangedTransformerIsWrittenInItsSourcesForm) {
  Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd35");
  diffusion::for_each_tensor(pipeline.network, "", [](const std::string& name, at::Tensor& tensor) {
    if (name != "pos_embed.pos_embed")
      tensor = tensor + at::arange(tensor.numel()).view(tensor.sizes());
  });
  const data::Weights changed = diffusion::tensors_of(pipeline.network);
  const fs::path file = whole_file(), target = file.parent_path() / "new.safetensors";
  diffusion::save_in_source_format(file, target, {{"transformer", changed}}, at::kFloat);
  fs::copy(file.parent_path() / "model.json", file.parent_path() / "new.json");
  const Pipeline again = diffusion::load_single_file(target, {}).pipeline;
  for (const auto& [name, tensor] : diffusion::tensors_of(again.network).tensors)
    EXPECT_TRUE(at::equal(tensor, changed.tensors.at(name))) << name;
}

TEST(Sd3Files, TextEncodersMayStandBesideTheFile) {
  const fs::path file = whole_file(), folder = file.parent_path();
  data::Weights weights = data::read_safetensors(file), own;
  std::erase_if(weights.tensors, [&](const auto& entry) {
    const std::string t5 = "text_encoders.t5xxl.transformer.";
    if (entry.first.starts_with(t5)) own.tensors[entry.first.substr(t5.size())] = entry.second;
    return entry.first.starts_with("text_encoders.");
  });
  for (auto& [name, tensor] : weights.tensors) tensor = tensor.clone();
  for (auto& [name, tensor] : own.tensors) tensor = tensor.clone();
  const fs::path bare = folder / "bare.safetensors";
  data::write_safetensors(bare, weights);
  fs::copy(folder / "model.json", folder / "bare.json");
  const auto load = [&] { return diffusion::load_single_file(bare, {}); };
  EXPECT_NE(refusal([&] { load(); }).find("clip_l.safetensors or the folder text_encoder"),
            std::string::npos)
      << refusal([&] { load(); });
  for (const char* part : {"text_encoder", "text_encoder_2"})
    fs::copy(kSd3 / "sd35" / part, folder / part);
  const auto without = load();
  EXPECT_EQ(without.pipeline.t5_text->encoder, nullptr);
  ASSERT_EQ(without.notes.size(), 1u);
  EXPECT_NE(without.notes[0].find("no T5"), std::string::npos);
  data::write_safetensors(folder / "t5xxl_fp16.safetensors", own);
  EXPECT_GE(expect_golden("sd35", [&] { return load().pipeline; }), 4);
  fs::remove_all(folder / "tokenizer_3");
  EXPECT_NE(refusal([&] { load(); }).find("tokenizer_3: expected the tokenizer of T5"),
            std::string::npos)
      << refusal([&] { load(); });
}

TEST(Sd3Files, ScaledFp8IsRefusedByItsKind) {
  const fs::path file = whole_file();
  data::Weights weights = data::read_safetensors(file);
  for (auto& [name, tensor] : weights.tensors) tensor = tensor.clone();
  weights.tensors["model.diffusion_model.context_embedder.scale_weight"] = at::ones({1});
  const fs::path scaled = file.parent_path() / "scaled.safetensors";
  data::write_safetensors(scaled, weights);
  EXPECT_NE(refusal([&] { diffusion::load_single_file(scaled, {}); }).find("scaled fp8"),
            std::string::npos);
}

TEST(Sd3Files, WhatDoesNotFitIsSaidInOneLine) {
  const auto expect = [](const fs::path& folder, const std::string& said) {
    const std::string found = refusal([&] { diffusion::load_pipeline(folder); });
    EXPECT_NE(found.find(said), std::string::npos) << found;
    EXPECT_EQ(found.find('\n'), std::string::npos) << found;
  };
  fs::path folder = copy_of(kSd3 / "sd35");
  fs::remove_all(folder / "tokenizer_3");
  expect(folder, "tokenizer_3: expected a part of StableDiffusion3Pipeline");

  folder = copy_of(kSd3 / "sd35");
  data::write_file(folder / "scheduler/scheduler_config.json",
                   R"({"_class_name": "DDIMScheduler", "beta_start": 0.0001, "beta_end": 0.02})");
  expect(folder, "scheduler: expected one of flow matching");

  folder = copy_of(kSd3 / "sd35");
  fs::remove_all(folder / "text_encoder_2");
  fs::copy(folder / "text_encoder", folder / "text_encoder_2");
  expect(folder, "pooled_projection_dim is 28, text_encoder and text_encoder_2 project to 32");

  folder = copy_of(kSd3 / "sd35");
  replace_in(folder / "model_index.json", "_class_name", "StableDiffusionXLPipeline");
  expect(folder, "unet: expected a part of StableDiffusionXLPipeline");
  fs::rename(folder / "transformer", folder / "unet");
  expect(folder, "has a unet (UNet2DConditionModel), found a SD3Transformer2DModel");
}

TEST(Sd3Sizes, AreMultiplesOfThePatchAndHavePositions) {
  const Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd3", {.without_t5 = true});
  EXPECT_EQ(diffusion::latent_shape(pipeline, 0, 0), (std::vector<int64_t>{16, 8, 8}));
  EXPECT_EQ(diffusion::pixel_unit(pipeline), 4);
  EXPECT_EQ(diffusion::image_tokens(pipeline, {16, 8, 12}), 24);
  const auto say = [&](int64_t height, int64_t width) {
    return refusal([&] { diffusion::latent_shape(pipeline, height, width); });
  };
  EXPECT_EQ(say(32, 4), "");
  EXPECT_NE(say(16, 18).find("multiples of 4 pixels, found 18x16"), std::string::npos);
  EXPECT_NE(say(16, 36).find("at most 32 pixels a side"), std::string::npos);
}

TEST(Sd3Text, RowsAreThoseOfClipPaddedThenT5s) {
  Pipeline pipeline = diffusion::load_pipeline(kSd3 / "sd3");
  const auto text = diffusion::encode_prompts(pipeline, {"a red star"});
  EXPECT_EQ(text.hidden.sizes(), (std::vector<int64_t>{1, 32 + 256, 32}));
  EXPECT_EQ(text.hidden.slice(1, 0, 32).slice(2, 28).abs().max().item<double>(), 0);
  EXPECT_GT(text.hidden.slice(1, 32).abs().max().item<double>(), 0);
  EXPECT_EQ(diffusion::t5_parameters(pipeline)[0].second, "256");
  diffusion::set_max_sequence_length(pipeline, 9);
  EXPECT_EQ(diffusion::encode_prompts(pipeline, {"a red star"}).hidden.size(1), 32 + 9);
  const auto warnings = diffusion::t5_truncation_warnings(*pipeline.t5_text,
                                                          {"a star", "a red star of blue squares"});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("prompt 2: "), std::string::npos) << warnings[0];
  EXPECT_NE(refusal([&] { diffusion::set_max_sequence_length(pipeline, 0); }).find("[1, 512]"),
            std::string::npos);
  pipeline.t5_text->encoder = nullptr;
  diffusion::set_max_sequence_length(pipeline, 0);
  EXPECT_EQ(diffusion::encode_prompts(pipeline, {"a red star"}).hidden.size(1), 32);
  EXPECT_EQ(diffusion::t5_parameters(pipeline)[0].second, "0 zeros (no T5)");
  EXPECT_NE(
      refusal([&] { diffusion::weighted_prompt(pipeline, "(a:1.2)"); }).find("--prompt_weighting"),
      std::string::npos);
}

TEST(Sd3Traits, NameTheReleaseAndItsParts) {
  const auto value = [](const std::vector<diffusion::Detail>& details, const std::string& name) {
    for (const auto& detail : details) {
      if (detail.name == name) return detail.value;
    }
    return std::string();
  };
  const auto folder = diffusion::details_of(diffusion::traits_of_folder(kSd3 / "sd35"));
  EXPECT_EQ(value(folder, "family"), "Stable Diffusion 3");
  EXPECT_EQ(value(folder, "prediction"), "flow_prediction");
  EXPECT_EQ(value(folder, "VAE shift factor"), "0.0609");
  EXPECT_EQ(value(folder, "transformer"),
            "of 3.5 medium's form: 3 layers of width 16, 2 heads, normalised queries and keys, a "
            "second attention in layers 0-1, positions of 8x8 patches");
  EXPECT_EQ(value(folder, "T5"), "read");
  const auto file =
      diffusion::details_of(diffusion::traits_of_single_file(data::read_safetensors(kFile)));
  EXPECT_EQ(value(file, "transformer"), value(folder, "transformer"));
  EXPECT_EQ(value(file, "T5"), "read");
  EXPECT_EQ(value(file, "missing"), "");
  const auto older = diffusion::details_of(diffusion::traits_of_folder(kSd3 / "sd3"));
  EXPECT_NE(value(older, "transformer").find("3 medium's form"), std::string::npos);
}

}  // namespace
