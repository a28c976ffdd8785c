#include "diffusion/pipeline/pipeline.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;

std::string refusal(const fs::path& folder) {
  try {
    diffusion::load_pipeline(folder);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

void replace_in(const fs::path& file, const std::string& key, const nlohmann::json& value) {
  auto object = data::read_json(file);
  object[key] = value;
  data::write_file(file, data::to_text(object));
}

TEST(Pipeline, SavedAndLoadedGivesTheSameOutputs) {
  const auto pipeline = tests::tiny_pipeline();
  const fs::path folder = tests::fresh_folder();
  diffusion::save_pipeline(folder, pipeline, at::kFloat);
  const auto loaded = diffusion::load_pipeline(folder);
  EXPECT_EQ(loaded.source, folder);
  EXPECT_EQ(diffusion::native_size(loaded), 16);
  const at::Tensor before = diffusion::encode_prompts(pipeline, {"a red circle", ""}).hidden;
  const at::Tensor after = diffusion::encode_prompts(loaded, {"a red circle", ""}).hidden;
  EXPECT_TRUE(at::equal(before, after));
  const at::Tensor x = at::randn({2, 4, 8, 8}), t = at::full({2}, 500);
  EXPECT_TRUE(at::equal(diffusion::unet_forward(diffusion::unet_of(pipeline.network), x, t, before),
                        diffusion::unet_forward(diffusion::unet_of(loaded.network), x, t, after)));
  EXPECT_TRUE(at::equal(diffusion::latents_to_images(pipeline.vae, x),
                        diffusion::latents_to_images(loaded.vae, x)));
}

TEST(Pipeline, VariantNamesAreRead) {
  const fs::path folder = tests::fresh_folder();
  diffusion::save_pipeline(folder, tests::tiny_pipeline(), at::kHalf);
  for (const char* part : {"unet", "vae"}) {
    fs::rename(folder / part / "diffusion_pytorch_model.safetensors",
               folder / part / "diffusion_pytorch_model.fp16.safetensors");
  }
  fs::rename(folder / "text_encoder/model.safetensors",
             folder / "text_encoder/model.fp16.safetensors");
  EXPECT_EQ(refusal(folder), "");
}

TEST(Pipeline, WordsWithoutARowAreRefused) {
  const fs::path folder = tests::fresh_folder();
  diffusion::save_pipeline(folder, tests::tiny_pipeline(), at::kFloat);
  data::write_file(folder / "tokenizer" / "added_tokens.json", R"({"<cat-toy>": 520})");
  EXPECT_NE(refusal(folder).find("the tokenizer's words take 521 ids, the text encoder's "
                                 "vocab_size is 520"),
            std::string::npos)
      << refusal(folder);
}

TEST(EncodePrompts, APromptsRowsAreTheSameInEveryCompany) {
  const auto pipeline = tests::tiny_pipeline();
  const at::Tensor together =
      diffusion::encode_prompts(pipeline, {"a red circle", "a blue square", ""}).hidden;
  EXPECT_EQ(together.sizes(), (std::vector<int64_t>{3, 12, 8}));
  auto fresh = tests::tiny_pipeline();
  EXPECT_TRUE(
      at::equal(diffusion::encode_prompts(fresh, {"a blue square"}).hidden[0], together[1]));
  EXPECT_FALSE(at::equal(together[0], together[1]));
  EXPECT_THROW(diffusion::encode_prompts(pipeline, {}), c10::Error);
}

TEST(EncodePrompts, SkippedLayersAreKeptApart) {
  const auto pipeline = tests::tiny_pipeline();
  const at::Tensor whole = diffusion::encode_prompts(pipeline, {"a red circle"}).hidden;
  const at::Tensor skipped =
      diffusion::encode_prompts(pipeline, {"a red circle"}, {.clip_skip = 1}).hidden;
  EXPECT_FALSE(at::equal(whole, skipped));
  EXPECT_TRUE(at::equal(whole, diffusion::encode_prompts(pipeline, {"a red circle"}).hidden));
}

TEST(LoadPipeline, SaysWhatAPathIsAndWhatIsExpected) {
  const fs::path folder = tests::fresh_folder();
  fs::remove(folder);
  EXPECT_NE(refusal(folder).find("nothing there"), std::string::npos);
  fs::create_directories(folder);
  EXPECT_NE(refusal(folder).find("empty folder"), std::string::npos);
  data::write_file(folder / "v1-5.safetensors", "x");
  EXPECT_NE(refusal(folder).find("model_index.json"), std::string::npos);
  EXPECT_NE(refusal(folder / "v1-5.safetensors").find("single file"), std::string::npos);
  diffusion::save_pipeline(folder, tests::tiny_pipeline(), at::kFloat);
  EXPECT_EQ(refusal(folder), "");
  EXPECT_NE(refusal(folder / "unet").find("a part of one"), std::string::npos);
  EXPECT_NE(refusal(folder / "unet/").find("a part of one"), std::string::npos);
}

TEST(LoadPipeline, NamesThePartThatIsMissingOrDoesNotFit) {
  const fs::path folder = tests::fresh_folder();
  diffusion::save_pipeline(folder, tests::tiny_pipeline(), at::kFloat);
  replace_in(folder / "model_index.json", "_class_name", "StableDiffusionXLPipeline");
  EXPECT_NE(refusal(folder).find("StableDiffusionXLPipeline"), std::string::npos);
  replace_in(folder / "model_index.json", "_class_name", "StableDiffusionPipeline");
  fs::rename(folder / "tokenizer", folder / "elsewhere");
  EXPECT_NE(refusal(folder).find("tokenizer"), std::string::npos);
  fs::rename(folder / "elsewhere", folder / "tokenizer");
  auto other = tests::tiny_pipeline();
  auto generator = at::detail::createCPUGenerator(2);
  auto config = tests::tiny_unet_config();
  config.cross_attention_dim = 12;
  auto unet = diffusion::make_unet(config, generator);
  diffusion::save_unet(folder / "unet", unet, at::kFloat);
  EXPECT_NE(refusal(folder).find("cross_attention_dim"), std::string::npos);
  config = tests::tiny_unet_config();
  config.out_channels = 3;
  unet = diffusion::make_unet(config, generator);
  diffusion::save_unet(folder / "unet", unet, at::kFloat);
  EXPECT_NE(refusal(folder).find("out_channels"), std::string::npos);
  data::write_file(folder / "model_index.json", "{");
  EXPECT_NE(refusal(folder).find("JSON"), std::string::npos);
}

}  // namespace
