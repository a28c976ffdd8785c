#include "diffusion/checkpoints/single_file.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/checkpoints/traits.hpp"
#include "diffusion/families/ldm_hints.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using data::Weights;

const fs::path kGolden = golden::folder() / "single_file";
const std::string kUNet = "model.diffusion_model.";

fs::path file_of(const std::string& family) {  // golden/make_single_file.py
  return kGolden / family / (family == "sd1" ? "model.ckpt" : "model.safetensors");
}

// A folder of the test's own, with the golden's tokenizers and settings.
fs::path copy_of_golden(const std::string& family) {
  const fs::path folder = tests::fresh_folder(family);
  fs::copy(kGolden / family, folder, fs::copy_options::recursive);
  return folder;
}

// The golden of `family` with a change, as a .safetensors.
fs::path changed_file(const std::string& family, const std::function<void(Weights&)>& change) {
  const fs::path path = copy_of_golden(family) / "model.safetensors";
  Weights weights = data::read_weights_file(file_of(family));
  change(weights);
  data::write_safetensors(path, weights);
  return path;
}

std::string refusal(const fs::path& path, const diffusion::SingleFileOptions& options = {}) {
  try {
    diffusion::load_single_file(path, options);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected BadInput";
  return "";
}

at::Tensor images_of(const diffusion::Pipeline& pipeline) {
  diffusion::GenerateOptions options;
  options.sampler = {.steps = 4, .eta = 0, .on_step = {}};
  options.guidance.scale = 5.0;
  options.micro_batch = 2;
  std::vector<diffusion::ImageRequest> requests;
  for (const auto& [prompt, seed] : std::initializer_list<std::pair<const char*, uint64_t>>{
           {"a red circle", 5}, {"two blue squares above a green star", 77}})
    requests.push_back({.prompt = prompt, .negative_prompt = "", .seed = seed, .latents = {}});
  at::Tensor images;
  diffusion::generate(pipeline, requests, options,
                      [&](const diffusion::GeneratedBatch& batch) { images = batch.images; });
  return images;
}

TEST(SingleFile, ImagesEqualDiffusers) {
  for (const char* family : {"sd1", "sd2", "sdxl"}) {
    auto loaded = diffusion::load_single_file(file_of(family), {});
    loaded.pipeline.scheduler.timestep_spacing = diffusion::Spacing::kLeading;
    const at::Tensor expected =
        data::read_safetensors(kGolden / family / "images.safetensors").tensors.at("images");
    const double error = (images_of(loaded.pipeline) - expected).abs().max().item<double>();
    golden::expect_agreement("whole images, single file", error, 1e-4);
  }
}

TEST(SingleFile, TheFolderAndTheFileGiveTheSameImage) {
  auto folder = diffusion::load_pipeline(kGolden.parent_path() / "pipeline");
  const auto file = diffusion::load_single_file(file_of("sd1"), {});
  EXPECT_TRUE(at::equal(images_of(folder), images_of(file.pipeline)));
  EXPECT_EQ(file.pipeline.source, file_of("sd1"));
}

TEST(SingleFile, BothTextEncodersOfSdxlAreRead) {
  const auto file = data::read_weights_file(file_of("sdxl"));
  const auto pipeline = diffusion::load_single_file(file_of("sdxl"), {}).pipeline;
  EXPECT_EQ(pipeline.class_name, "StableDiffusionXLPipeline");
  EXPECT_TRUE(pipeline.force_zeros_for_empty_prompt);
  const auto& second = pipeline.text_encoders[1].network;
  const std::string start = "conditioner.embedders.1.model.";
  const auto in_file = [&](const std::string& name) {
    return file.tensors.at(start + name).to(at::kFloat);
  };
  EXPECT_TRUE(at::equal(second.text_projection.weight, in_file("text_projection").t()));
  EXPECT_TRUE(at::equal(second.encoder.layers[1].v_proj.weight,
                        in_file("transformer.resblocks.1.attn.in_proj_weight").slice(0, 48, 72)));
  EXPECT_EQ(second.config.encoder.hidden_act, nn::Activation::kGelu);
  EXPECT_EQ(pipeline.text_encoders[0].network.config.encoder.hidden_act,
            nn::Activation::kQuickGelu);
  EXPECT_EQ(pipeline.text_encoders[1].tokenizer.pad,
            pipeline.text_encoders[1].tokenizer.vocab.at("!"));
  EXPECT_NE(pipeline.text_encoders[0].tokenizer.pad, pipeline.text_encoders[1].tokenizer.pad);
  EXPECT_EQ(diffusion::unet_of(pipeline.network).config.addition_time_embed_dim, 8);
}

TEST(SingleFile, AveragesAndATrainersThingsArePassedOverAndSaid) {
  const auto loaded = diffusion::load_single_file(file_of("sd1"), {});
  ASSERT_EQ(loaded.notes.size(), 1u);
  EXPECT_NE(loaded.notes[0].find("model_ema.*: 2 tensors"), std::string::npos) << loaded.notes[0];
}

TEST(SingleFile, APrecisionOrAMixtureOfThemIsRead) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const fs::path path = changed_file("sd1", [&](Weights& weights) {
      int count = 0;
      for (auto& [name, tensor] : weights.tensors) {
        if (tensor.is_floating_point() && (type == at::kFloat || ++count % 2 == 0))
          tensor = tensor.to(type);
      }
    });
    const auto loaded = diffusion::load_single_file(path, {});
    const auto whole = diffusion::load_single_file(file_of("sd1"), {});
    const double error =
        (images_of(loaded.pipeline) - images_of(whole.pipeline)).abs().max().item<double>();
    EXPECT_LE(error, type == at::kFloat ? 0 : 0.2);
  }
}

TEST(SingleFile, AnLcmReadsItsGuidanceAndAnEditingModelEightChannels) {
  const at::Tensor projection = at::randn({8, 6});
  const auto lcm = diffusion::load_single_file(
      changed_file(
          "sd1",
          [&](Weights& w) { w.tensors[kUNet + "time_embed.cond_proj.weight"] = projection; }),
      {});
  EXPECT_EQ(diffusion::unet_of(lcm.pipeline.network).config.time_cond_proj_dim, 6);
  EXPECT_TRUE(
      at::equal(diffusion::unet_of(lcm.pipeline.network).time_cond_proj.weight, projection));
  EXPECT_EQ(lcm.pipeline.class_name, "LatentConsistencyModelPipeline");
  EXPECT_EQ(lcm.pipeline.scheduler.sampler, diffusion::sampler_of_class("LCMScheduler"));
  const auto edit = diffusion::load_single_file(
      changed_file("sd1",
                   [](Weights& w) {
                     w.tensors[kUNet + "input_blocks.0.0.weight"] = at::randn({8, 8, 3, 3});
                   }),
      {});
  EXPECT_EQ(diffusion::unet_of(edit.pipeline.network).config.in_channels, 8);
  EXPECT_EQ(edit.pipeline.class_name, "StableDiffusionInstructPix2PixPipeline");
}

// Prediction and terminal SNR, from the strongest word to the weakest.
TEST(SingleFile, ThePredictionIsWhatTheNearestWordSays) {
  using diffusion::Prediction;
  const auto prediction = [](const fs::path& path, const std::string& asked = "") {
    return diffusion::load_single_file(path, {.prediction_type = asked})
        .pipeline.scheduler.prediction_type;
  };
  const fs::path path =
      changed_file("sdxl", [](Weights& w) { w.metadata["modelspec.prediction_type"] = "v"; });
  EXPECT_EQ(prediction(file_of("sdxl")), Prediction::kEpsilon);
  EXPECT_EQ(prediction(path), Prediction::kV);
  data::write_file(path.parent_path() / "model.yaml",
                   "model:\n  params:\n    parameterization: \"eps\"  # noise\n");
  EXPECT_EQ(prediction(path), Prediction::kEpsilon);
  EXPECT_EQ(prediction(path, "v_prediction"), Prediction::kV);
  data::write_file(path.parent_path() / "model.yaml", "  parameterization: x0\n");
  EXPECT_NE(refusal(path).find("model.yaml: parameterization"), std::string::npos);
  EXPECT_NE(refusal(path, {.prediction_type = "v"}).find("model.yaml"), std::string::npos);
}

TEST(SingleFile, MarkedZeroTerminalSnrTrailsItsSteps) {
  const auto loaded = diffusion::load_single_file(
      changed_file("sdxl", [](Weights& w) { w.tensors["ztsnr"] = at::empty({0}); }), {});
  EXPECT_TRUE(loaded.pipeline.scheduler.rescale_betas_zero_snr);
  EXPECT_EQ(loaded.pipeline.scheduler.timestep_spacing, diffusion::Spacing::kTrailing);
}

// Stable Diffusion 2's two kinds have the same names: the answer to noise tells them apart.
TEST(SingleFile, AnUnmarkedStableDiffusion2IsAsked) {
  const auto loaded = diffusion::load_single_file(changed_file("sd2",
                                                               [](Weights& w) {
                                                                 w.tensors.erase("v_pred");
                                                                 w.tensors[kUNet + "out.2.bias"] =
                                                                     at::full({4}, -9.0);
                                                               }),
                                                  {});
  EXPECT_EQ(loaded.pipeline.scheduler.prediction_type, diffusion::Prediction::kV);
  ASSERT_EQ(loaded.notes.size(), 1u);
  EXPECT_NE(loaded.notes[0].find("v_prediction"), std::string::npos);
}

TEST(SingleFile, AMissingPartIsNamedAndAVaeMayComeFromElsewhere) {
  const auto drop = [](const std::string& start) {
    return [start](Weights& w) {
      std::erase_if(w.tensors, [&](auto& entry) { return entry.first.starts_with(start); });
    };
  };
  const fs::path path = changed_file("sd1", drop("first_stage_model."));
  EXPECT_NE(refusal(path).find("no VAE"), std::string::npos);
  const fs::path vae = kGolden.parent_path() / "pipeline/vae";
  const auto loaded = diffusion::load_single_file(path, {.vae = vae});
  const auto whole = diffusion::load_single_file(file_of("sd1"), {});
  EXPECT_TRUE(at::equal(images_of(loaded.pipeline), images_of(whole.pipeline)));
  EXPECT_NE(refusal(changed_file("sd1", drop("cond_stage_model."))).find("no text encoder"),
            std::string::npos);
  EXPECT_NE(refusal(changed_file("sdxl", drop("conditioner.embedders.1."))).find("encoder"),
            std::string::npos);
  EXPECT_NE(refusal(changed_file("sd1", drop(kUNet + "middle_block.1."))).find("missing"),
            std::string::npos);
}

TEST(SingleFile, WhatIsNoCheckpointIsNamed) {
  const fs::path path = copy_of_golden("sd1") / "other.safetensors";
  const auto refused = [&](const std::map<std::string, std::vector<int64_t>>& shapes) {
    Weights weights;
    for (const auto& [name, shape] : shapes) weights.tensors[name] = at::ones(shape);
    data::write_safetensors(path, weights);
    return refusal(path);
  };
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect(refused({{"lora_unet_mid_block.lora_down.weight", {4, 8}}}), "--lora");
  expect(refused({{"decoder.conv_in.weight", {8, 4, 3, 3}}}), "found VAE");
  expect(refused({{"model.diffusion_model.joint_blocks.0.x", {1}}}), "Stable Diffusion 3");
  expect(refused({{"double_blocks.0.img_attn.x", {1}}}), "of FLUX.1 holds no VAE");
  expect(refused({{"double_blocks.0.x", {1}}, {"distilled_guidance_layer.x", {1}}}),
         "transformer of Chroma, which is not supported; use FLUX.1");
  expect(refused({{kUNet + "double_blocks.0.x", {1}},
                  {kUNet + "double_stream_modulation_img.lin.weight", {1}}}),
         "transformer of FLUX.2, which is not supported");
  expect(
      refused(
          {{"conv_in.weight", {8, 4, 3, 3}}, {"down_blocks.0.x", {1}}, {"time_embedding.x", {1}}}),
      "unet folder");
  expect(refused({{"anything", {1}}}), "unknown");
  expect(refused({{kUNet + "input_blocks.0.0.weight", {8, 4, 3, 3}},
                  {kUNet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", {8, 1280}},
                  {kUNet + "label_emb.0.0.weight", {8, 8}}}),
         "refiner");
  expect(
      refusal(changed_file("sd1",
                           [](Weights& w) {
                             w.tensors[kUNet + "input_blocks.0.0.weight"] = at::ones({8, 9, 3, 3});
                           })),
      "inpainting");
  expect(refusal(changed_file("sd1",
                              [](Weights& w) {
                                w.tensors[kUNet + "input_blocks.1.0.gate.weight"] = at::ones({1});
                              })),
         "input_blocks.1.0.gate.weight");
}

TEST(SingleFile, ATokenizerOfAnotherModelIsRefused) {
  const fs::path path = copy_of_golden("sd1") / "model.ckpt";
  const fs::path clip = fs::path(tests::source_dir()) / "models/clip-tokenizer";
  EXPECT_NE(refusal(path, {.tokenizer = clip}).find("49408 symbols"), std::string::npos);
  fs::remove_all(path.parent_path() / "tokenizer");
  EXPECT_NE(refusal(path).find("--tokenizer"), std::string::npos);
  EXPECT_NE(refusal(path, {.clip_tokenizer = clip}).find("49408 symbols"), std::string::npos);
}

TEST(VaeAlone, IsReadByEveryNameThatItHas) {
  const fs::path folder = copy_of_golden("sd1");
  const auto whole = data::read_weights_file(file_of("sd1"));
  const at::Tensor latents = at::randn({1, 4, 4, 4});
  const auto expected =
      diffusion::vae_decode(diffusion::load_vae(kGolden.parent_path() / "pipeline/vae"), latents);
  for (const std::string prefix : {"first_stage_model.", ""}) {
    Weights vae;
    for (const auto& [name, tensor] : whole.tensors) {
      if (name.starts_with("first_stage_model.")) vae.tensors[prefix + name.substr(18)] = tensor;
    }
    data::write_safetensors(folder / "vae.safetensors", vae);
    data::write_file(folder / "vae.json", R"({"vae": {"norm_num_groups": 4}})");
    const auto loaded = diffusion::load_vae_alone(folder / "vae.safetensors", 0.5);
    EXPECT_TRUE(at::equal(diffusion::vae_decode(loaded, latents), expected));
    EXPECT_EQ(loaded.config.scaling_factor, 0.5);
  }
}

// Shapes of the full-size models, as their files have them.
// Numbers of a file beside the checkpoint become sizes: none beyond 2^24, none that is no number.
TEST(LdmHints, RefuseImpossibleNumbers) {
  const fs::path folder = fs::path(testing::TempDir()) / "laurel_hints";
  data::Weights file;
  file.source = (folder / "a.safetensors").string();
  const auto said = [&](const std::string& name, const std::string& text) {
    fs::remove_all(folder);
    data::write_file(folder / name, text);
    return ::refusal([&] { diffusion::read_hints(file); });
  };
  EXPECT_EQ(said("a.json", R"({"unet": {"attention_head_dim": 8}, "scheduler": 3})"), "");
  for (const char* number : {"1e300", "2.5", "-1", "16777217", "\"8\""})
    EXPECT_NE(said("a.json", R"({"unet": {"attention_head_dim": )" + std::string(number) + "}}")
                  .find("unet: attention_head_dim: expected a number above 0, at most 16777216"),
              std::string::npos)
        << number;
  EXPECT_EQ(said("a.yaml", "num_heads: 8\n"), "");
  EXPECT_NE(said("a.yaml", "num_heads: 99999999\n").find("num_heads: expected a number"),
            std::string::npos);
}

TEST(OriginalConfig, HeadsFollowTheFamily) {
  const auto config = [](const char* family) {
    Weights unet;
    for (const int64_t level : {0, 1}) {
      const std::string block = "down_blocks." + std::to_string(level) + ".";
      unet.tensors[block + "resnets.0.conv1.weight"] = at::empty({320 * (level + 1), 320, 3, 3});
      unet.tensors[block + "resnets.1.conv1.weight"] = at::empty({320 * (level + 1), 320, 3, 3});
    }
    const std::string middle = "mid_block.attentions.0.";
    unet.tensors["down_blocks.1.attentions.0.transformer_blocks.0.x"] = at::empty({1});
    unet.tensors["down_blocks.1.attentions.0.transformer_blocks.1.x"] = at::empty({1});
    unet.tensors[middle + "transformer_blocks.0.attn2.to_k.weight"] = at::empty({640, 768});
    unet.tensors[middle + "proj_in.weight"] = at::empty({640, 640, 1, 1});
    unet.tensors["conv_in.weight"] = at::empty({320, 4, 3, 3});
    unet.tensors["conv_out.weight"] = at::empty({4, 320, 3, 3});
    return diffusion::unet_config_of(unet, *diffusion::family_of_name(family), {});
  };
  const auto sd1 = config("Stable Diffusion 1"), sd2 = config("Stable Diffusion 2");
  EXPECT_EQ(sd1.heads, (std::vector<int64_t>{8, 8}));
  EXPECT_EQ(sd2.heads, (std::vector<int64_t>{5, 10}));
  EXPECT_EQ(sd1.block_out_channels, (std::vector<int64_t>{320, 640}));
  EXPECT_EQ(sd1.layers_per_block, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(sd1.transformer_layers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(sd1.down_attention, (std::vector<bool>{false, true}));
  EXPECT_FALSE(sd1.use_linear_projection);
  EXPECT_EQ(sd1.cross_attention_dim, 768);
}

std::string value_of(const std::vector<diffusion::Detail>& details, const std::string& name) {
  for (const auto& detail : details) {
    if (detail.name == name) return detail.value;
  }
  return "absent";
}

TEST(ModelTraits, OfFilesAndFolders) {
  const auto of_file = [](const std::string& family) {
    return diffusion::details_of(
        diffusion::traits_of_single_file(data::read_weights_file(file_of(family))));
  };
  EXPECT_EQ(value_of(of_file("sd1"), "prediction"), "v_prediction (model.json)");
  EXPECT_EQ(value_of(of_file("sd2"), "prediction"), "v_prediction (the tensor v_pred)");
  EXPECT_EQ(value_of(of_file("sd2"), "family"), "Stable Diffusion 2");
  EXPECT_EQ(value_of(of_file("sdxl"), "VAE scaling factor"), "0.5");
  EXPECT_NE(value_of(of_file("sdxl"), "upcast VAE"), "absent");
  const auto folder =
      diffusion::details_of(diffusion::traits_of_folder(kGolden.parent_path() / "pipeline"));
  EXPECT_EQ(value_of(folder, "prediction"), "v_prediction");
  EXPECT_EQ(value_of(folder, "missing"), "absent");
}

}  // namespace
