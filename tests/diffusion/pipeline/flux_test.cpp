// FLUX.1 dev and schnell, whole: files, text, images. Goldens: golden/make/make_flux.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/checkpoints/single_file.hpp"
#include "diffusion/checkpoints/traits.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "diffusion/sampling/flow_levels.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Pipeline;
using nlohmann::json;

const fs::path kFlux = golden::folder() / "flux";

const json& flux_settings() {
  static const json file = data::read_json(golden::folder() / "flux.json");
  return file;
}
const data::Weights& flux_tensors() {
  static const data::Weights file = data::read_safetensors(golden::folder() / "flux.safetensors");
  return file;
}

std::vector<diffusion::Prompt> flux_prompts() {
  std::vector<diffusion::Prompt> prompts;
  for (const auto& text : flux_settings()["prompts"]) prompts.push_back(text.get<std::string>());
  return prompts;
}

at::Tensor flux_images(const Pipeline& pipeline, const json& row) {
  std::vector<diffusion::ImageRequest> requests;
  const auto prompts = flux_prompts();
  for (size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back({.prompt = prompts[i],
                        .negative_prompt = row["negative"].get<std::string>(),
                        .seed = flux_settings()["seeds"][i],
                        .latents = {}});
  }
  diffusion::GenerateOptions options;
  options.sampler.sampler = pipeline.scheduler.sampler;
  options.sampler.steps = row["steps"];
  options.guidance.scale = row["scale"];
  options.height = row["height"];
  options.width = row["width"];
  options.micro_batch = 2;
  std::vector<at::Tensor> images;
  diffusion::generate(pipeline, requests, options, [&](const diffusion::GeneratedBatch& batch) {
    images.push_back(batch.images);
  });
  return at::cat(images);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

int64_t expect_flux(const std::string& kind, const std::function<Pipeline()>& load) {
  int64_t count = 0;
  for (size_t i = 0; i < flux_settings()["cases"].size(); ++i) {
    const json& row = flux_settings()["cases"][i];
    if (row["kind"] != kind) continue;
    SCOPED_TRACE(row.dump());
    Pipeline pipeline = load();
    diffusion::set_max_sequence_length(pipeline, row["tokens"]);
    if (diffusion::traits(pipeline.network).guidance)
      diffusion::set_guidance(pipeline.network, row["guidance"]);
    const auto expected = [&](const char* name) {
      return flux_tensors().tensors.at(std::to_string(i) + name);
    };
    const auto text = diffusion::encode_prompts(pipeline, flux_prompts());
    for (const auto& [name, found] :
         {std::pair{".hidden", text.hidden}, std::pair{".pooled", text.pooled}})
      golden::expect_agreement(
          "FLUX, text",
          largest_difference(found, expected(name)) / expected(name).abs().max().item<double>(),
          1e-5);
    golden::expect_agreement("whole images, " + kind,
                             largest_difference(flux_images(pipeline, row), expected(".images")),
                             1e-4);
    ++count;
  }
  return count;
}

TEST(FluxPipeline, TextAndImagesAreDiffusers) {
  EXPECT_EQ(expect_flux("dev", [] { return diffusion::load_pipeline(kFlux / "dev"); }), 4);
  EXPECT_TRUE(
      fs::exists(kFlux / "schnell/transformer" / "diffusion_pytorch_model.safetensors.index.json"));
  EXPECT_EQ(expect_flux("schnell", [] { return diffusion::load_pipeline(kFlux / "schnell"); }), 2);
}

// A copy of the single file with the tokenizers beside it.
fs::path flux_file() {
  const fs::path folder = tests::fresh_folder("model");
  fs::copy(kFlux / "single_file", folder, fs::copy_options::recursive);
  for (const char* name : {"tokenizer", "tokenizer_2"})
    fs::copy(kFlux / "dev" / name, folder / name, fs::copy_options::recursive);
  return folder / "model.safetensors";
}

data::Weights tensors_in(const fs::path& file) {
  data::Weights weights = data::read_safetensors(file);
  for (auto& [name, tensor] : weights.tensors) tensor = tensor.clone();
  return weights;
}

TEST(FluxFiles, TheSingleFileIsTheFolder) {
  const fs::path file = flux_file();
  EXPECT_EQ(expect_flux("dev", [&] { return diffusion::load_single_file(file, {}).pipeline; }), 4);
}

// As Black Forest Labs and ComfyUI hand them out: bare names, the other parts beside it.
TEST(FluxFiles, PartsMayStandBesideABareFile) {
  const fs::path file = flux_file(), folder = file.parent_path();
  data::Weights bare, clip, t5, vae;
  for (const auto& [name, tensor] : tensors_in(file).tensors) {
    const auto take = [&, &name = name, &tensor = tensor](const std::string& start,
                                                          data::Weights& part) {
      if (name.starts_with(start)) part.tensors[name.substr(start.size())] = tensor;
    };
    take("model.diffusion_model.", bare);
    take("text_encoders.clip_l.transformer.", clip);
    take("text_encoders.t5xxl.transformer.", t5);
    take("vae.", vae);
  }
  const fs::path alone = folder / "flux1-dev.safetensors";
  data::write_safetensors(alone, bare);
  fs::copy(folder / "model.json", folder / "flux1-dev.json");
  const auto load = [&] { return diffusion::load_single_file(alone, {}).pipeline; };
  const auto expect_missing = [&](const std::string& said) {
    const std::string line = refusal(load);
    EXPECT_NE(line.find(said), std::string::npos) << line;
  };
  expect_missing("holds no VAE");
  data::write_safetensors(folder / "ae.safetensors", vae);
  fs::copy(folder / "model.json", folder / "ae.json");
  expect_missing("clip_l.safetensors or the folder text_encoder");
  clip.tensors["text_projection.weight"] = at::randn({16, 16});  // which FLUX does not read
  data::write_safetensors(folder / "clip_l.safetensors", clip);
  expect_missing("t5xxl.safetensors or the folder text_encoder_2");
  data::write_safetensors(folder / "t5xxl_fp16.safetensors", t5);
  EXPECT_EQ(expect_flux("dev", load), 4);
}

TEST(FluxFiles, WrittenAndReadBackAreTheSameModel) {
  const Pipeline pipeline = diffusion::load_pipeline(kFlux / "dev");
  const fs::path folder = tests::fresh_folder();
  diffusion::save_pipeline(folder, pipeline, at::kFloat);
  EXPECT_EQ(data::read_json(folder / "model_index.json")["text_encoder_2"][1], "T5EncoderModel");
  EXPECT_EQ(expect_flux("dev", [&] { return diffusion::load_pipeline(folder); }), 4);
}

data::Weights changed_transformer(Pipeline pipeline) {
  diffusion::for_each_tensor(pipeline.network, "", [](const std::string&, at::Tensor& tensor) {
    tensor = tensor + at::arange(tensor.numel()).view(tensor.sizes());
  });
  return diffusion::tensors_of(pipeline.network);
}

TEST(FluxFiles, AChangedTransformerIsWrittenInItsSourcesForm) {
  const data::Weights changed = changed_transformer(diffusion::load_pipeline(kFlux / "dev"));
  const fs::path file = flux_file(), target = file.parent_path() / "new.safetensors";
  diffusion::save_in_source_format(file, target, {{"transformer", changed}}, at::kFloat);
  EXPECT_TRUE(data::has(data::read_safetensors(target),
                        "model.diffusion_model.single_blocks.0.linear1.weight"));
  fs::copy(file.parent_path() / "model.json", file.parent_path() / "new.json");
  const Pipeline again = diffusion::load_single_file(target, {}).pipeline;
  for (const auto& [name, tensor] : diffusion::tensors_of(again.network).tensors)
    EXPECT_TRUE(at::equal(tensor, changed.tensors.at(name))) << name;

  const data::Weights other = changed_transformer(diffusion::load_pipeline(kFlux / "schnell"));
  const fs::path shards = tests::fresh_folder() / "shards";
  diffusion::save_in_source_format(kFlux / "schnell", shards, {{"transformer", other}}, at::kFloat);
  const Pipeline read = diffusion::load_pipeline(shards);
  for (const auto& [name, tensor] : diffusion::tensors_of(read.network).tensors)
    EXPECT_TRUE(at::equal(tensor, other.tensors.at(name))) << name;
}

TEST(FluxFiles, PlainFp8IsReadExactlyAndKept) {
  const fs::path file = flux_file(), eights = file.parent_path() / "eights.safetensors";
  data::Weights weights = tensors_in(file);
  const std::string network = "model.diffusion_model.";
  for (auto& [name, tensor] : weights.tensors) {
    if (name.starts_with(network)) tensor = tensor.to(at::kFloat8_e4m3fn);
  }
  data::write_safetensors(eights, weights);
  fs::copy(file.parent_path() / "model.json", file.parent_path() / "eights.json");
  const Pipeline pipeline = diffusion::load_single_file(eights, {}).pipeline;
  const data::Weights own = diffusion::tensors_of(pipeline.network);
  const auto value = [&](const std::string& name) {
    return weights.tensors.at(network + name + ".weight").to(at::kFloat);
  };
  EXPECT_TRUE(at::equal(own.tensors.at("x_embedder.weight"), value("img_in")));
  EXPECT_TRUE(at::equal(own.tensors.at("norm_out.linear.weight"),
                        value("final_layer.adaLN_modulation.1").roll(32, 0)));
  const fs::path same = file.parent_path() / "same.safetensors";
  diffusion::save_in_source_format(eights, same, {{"transformer", own}});
  EXPECT_EQ(data::read_file(same), data::read_file(eights));
}

TEST(FluxFiles, ScaledFp8IsReadAndWrittenBack) {
  const fs::path file = flux_file(), scaled = file.parent_path() / "scaled.safetensors";
  data::Weights weights = tensors_in(file);
  const std::string layer = "model.diffusion_model.single_blocks.0.linear1";
  const at::Tensor codes = weights.tensors.at(layer + ".weight").to(at::kFloat8_e4m3fn);
  weights.tensors[layer + ".weight"] = codes;
  weights.tensors[layer + ".scale_weight"] = at::full({}, 0.37f);
  weights.tensors["model.diffusion_model.scaled_fp8"] = at::zeros({2}, at::kFloat8_e4m3fn);
  data::write_safetensors(scaled, weights);
  fs::copy(file.parent_path() / "model.json", file.parent_path() / "scaled.json");
  const Pipeline pipeline = diffusion::load_single_file(scaled, {}).pipeline;
  data::Weights own = diffusion::tensors_of(pipeline.network);
  const std::string mlp = "single_transformer_blocks.0.proj_mlp.weight";
  EXPECT_TRUE(at::equal(own.tensors.at(mlp), codes.to(at::kFloat).slice(0, 96) * 0.37f));

  const fs::path same = file.parent_path() / "same.safetensors";
  diffusion::save_in_source_format(scaled, same, {{"transformer", own}});
  EXPECT_EQ(data::read_file(same), data::read_file(scaled));
  own.tensors[mlp] = 2 * own.tensors.at(mlp);
  diffusion::save_in_source_format(scaled, same, {{"transformer", own}});
  fs::copy(file.parent_path() / "model.json", file.parent_path() / "same.json");
  const Pipeline again = diffusion::load_single_file(same, {}).pipeline;
  EXPECT_TRUE(at::allclose(diffusion::tensors_of(again.network).tensors.at(mlp),
                           own.tensors.at(mlp), 0.07, 1e-3));  // 3 bits of mantissa
  const fs::path wide = file.parent_path() / "wide.safetensors";
  diffusion::save_in_source_format(scaled, wide, {{"transformer", own}}, at::kFloat);
  const data::Weights plain = data::read_safetensors(wide);
  EXPECT_FALSE(data::has(plain, layer + ".scale_weight"));
  EXPECT_TRUE(at::equal(plain.tensors.at(layer + ".weight").slice(0, 96), own.tensors.at(mlp)));
}

TEST(FluxFiles, WhatDoesNotFitIsSaidInOneLine) {
  const auto expect = [](const std::function<void()>& load, const std::string& said) {
    const std::string found = refusal(load);
    EXPECT_NE(found.find(said), std::string::npos) << found;
    EXPECT_EQ(found.find('\n'), std::string::npos) << found;
  };
  expect([] { diffusion::load_pipeline(kFlux / "dev", {.without_t5 = true}); },
         "text_encoder_2 (T5): expected it, because FLUX.1 reads no other rows");
  const fs::path folder = tests::fresh_folder("dev");
  fs::copy(kFlux / "dev", folder, fs::copy_options::recursive);
  fs::remove_all(folder / "transformer");
  fs::copy(golden::folder() / "sd3/sd35/transformer", folder / "transformer");
  expect([&] { diffusion::load_pipeline(folder); },
         "has a transformer (FluxTransformer2DModel), found a SD3Transformer2DModel");
  fs::remove_all(folder / "transformer");
  fs::copy(golden::folder() / "flux_dev", folder / "transformer");
  expect([&] { diffusion::load_pipeline(folder); },
         "the transformer's in_channels and out_channels are 4 and 4");
  const fs::path file = flux_file();
  data::Weights weights = tensors_in(file);
  weights.tensors["model.diffusion_model.img_in.weight"] = at::zeros({32, 384});
  data::write_safetensors(file.parent_path() / "fill.safetensors", weights);
  fs::copy(file.parent_path() / "model.json", file.parent_path() / "fill.json");
  expect([&] { diffusion::load_single_file(file.parent_path() / "fill.safetensors", {}); },
         "img_in: expected as many columns as final_layer has rows, 64, found 384");
  data::write_file(file.parent_path() / "q4.safetensors", "GGUF\x03");
  expect([&] { diffusion::load_single_file(file.parent_path() / "q4.safetensors", {}); },
         "found GGUF, quantised weights");
}

TEST(FluxText, RowsAreT5sAlone) {
  Pipeline dev = diffusion::load_pipeline(kFlux / "dev");
  const auto text = diffusion::encode_prompts(dev, {"a red star"});
  EXPECT_EQ(text.hidden.sizes(), (std::vector<int64_t>{1, 512, 32}));
  EXPECT_EQ(text.pooled.sizes(), (std::vector<int64_t>{1, 16}));
  EXPECT_EQ(diffusion::t5_parameters(dev)[0].second, "512");
  const Pipeline schnell = diffusion::load_pipeline(kFlux / "schnell");
  EXPECT_EQ(diffusion::encode_prompts(schnell, {"a red star"}).hidden.size(1), 256);
}

TEST(FluxSizes, AreMultiplesOfTheToken) {
  const Pipeline pipeline = diffusion::load_pipeline(kFlux / "schnell");
  EXPECT_EQ(diffusion::latent_shape(pipeline, 0, 0), (std::vector<int64_t>{16, 128, 128}));
  EXPECT_EQ(diffusion::pixel_unit(pipeline), 4);
  const auto say = [&](int64_t height, int64_t width) {
    return refusal([&] { diffusion::latent_shape(pipeline, height, width); });
  };
  EXPECT_EQ(say(4096, 4), "");
  EXPECT_NE(say(16, 18).find("multiples of 4 pixels, found 18x16"), std::string::npos);
}

// The tables of FlowMatchEulerDiscreteScheduler with the times that FluxPipeline gives it.
TEST(FluxTimes, AreThePipelinesOwn) {
  const auto expect = [](const char* kind, int64_t tokens, const std::vector<double>& known) {
    const auto schedule =
        diffusion::make_schedule(diffusion::load_pipeline(kFlux / kind).scheduler, tokens);
    const auto times = diffusion::flow_match_times(schedule, 4);
    ASSERT_EQ(times.t.size(), 5u);
    for (size_t i = 0; i < known.size(); ++i) EXPECT_NEAR(times.t[i], known[i], 1e-6) << kind << i;
    EXPECT_NEAR(times.timesteps[1], 1000 * known[1], 1e-3);
  };
  expect("schnell", 1024, {1, .75, .5, .25, 0});
  expect("dev", 1024, {1, .849235, .652489, .384945, 0});  // 512 px
  expect("dev", 4096, {1, .904531, .759511, .512844, 0});  // 1024 px
  auto scheduler = diffusion::load_pipeline(kFlux / "dev").scheduler;
  EXPECT_NE(refusal([&] {
              diffusion::flow_match_times(diffusion::make_schedule(scheduler), 4);
            }).find("give a shift instead"),
            std::string::npos);
  scheduler.flow->image_tokens = 4096;  // of a run with one size
  EXPECT_NEAR(diffusion::flow_match_times(diffusion::make_schedule(scheduler), 4).t[1], .904531,
              1e-6);
}

TEST(FluxTraits, NameTheReleaseAndItsParts) {
  const auto value = [](const std::vector<diffusion::Detail>& details, const std::string& name) {
    for (const auto& detail : details) {
      if (detail.name == name) return detail.value;
    }
    return std::string();
  };
  const auto folder = diffusion::details_of(diffusion::traits_of_folder(kFlux / "dev"));
  EXPECT_EQ(value(folder, "family"), "FLUX.1");
  EXPECT_EQ(value(folder, "prediction"), "flow_prediction");
  EXPECT_EQ(value(folder, "VAE scaling factor"), "0.3611");
  EXPECT_EQ(value(folder, "transformer"),
            "of dev's form: 2 + 2 layers of width 32, 2 heads, the guidance is an input");
  EXPECT_EQ(value(folder, "T5"), "read");
  const auto file = diffusion::details_of(diffusion::traits_of_single_file(
      data::read_safetensors(kFlux / "single_file/model.safetensors")));
  EXPECT_EQ(value(file, "transformer"), value(folder, "transformer"));
  EXPECT_EQ(value(file, "missing"), "");
}

}  // namespace
