#include "rewards/clip/model.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/clip/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests" / "golden";

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

fs::path copy_of_golden() {
  const fs::path folder = tests::fresh_folder();
  fs::copy(kGolden / "clip_gelu", folder);
  return folder;
}

class ClipGolden : public testing::TestWithParam<const char*> {};

TEST_P(ClipGolden, FeaturesAndImageGradientAreTransformers) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("clip_" + kind + ".safetensors"));
  const rewards::Clip clip = rewards::load_clip(kGolden / ("clip_" + kind));
  EXPECT_LE(difference(rewards::text_features(clip, golden.tensors.at("ids")),
                       golden.tensors.at("text_features")),
            1e-5);
  const at::Tensor images = golden.tensors.at("images").clone().requires_grad_(true);
  const at::Tensor features = rewards::image_features(clip, images);
  EXPECT_LE(difference(features.detach(), golden.tensors.at("image_features")), 1e-5);
  (features * golden.tensors.at("loss_weights")).sum().backward();
  const at::Tensor& expected = golden.tensors.at("images_grad");
  EXPECT_LE(difference(images.grad(), expected), 1e-4 * expected.abs().max().item<double>());
}

TEST_P(ClipGolden, PreprocessingIsTransformersToOneGreyLevel) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("clip_" + kind + ".safetensors"));
  const rewards::Clip clip = rewards::load_clip(kGolden / ("clip_" + kind));
  const at::Tensor photo = golden.tensors.at("photo").to(at::kFloat).div(255).unsqueeze(0);
  const at::Tensor found = rewards::clip_preprocess(clip.transform, photo);
  EXPECT_EQ(found.sizes(), (at::IntArrayRef{1, 3, 16, 16}));
  const double grey_level = 1.0 / 255 / 0.26;  // after the division by the standard deviation
  EXPECT_LE(difference(found, golden.tensors.at("photo_preprocessed")), 1.01 * grey_level);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ClipGolden, testing::Values("quick_gelu", "gelu"));

TEST(Clip, TheClassTokenNeedsNoOtherOfTheLastLayer) {
  const rewards::Clip clip = rewards::load_clip(kGolden / "clip_gelu");
  auto generator = at::detail::createCPUGenerator(4);
  const at::Tensor x = at::randn({3, 3, 16, 16}, generator);
  const at::Tensor all = rewards::clip_vision_tokens(clip.vision, x);
  EXPECT_GT(all.size(1), 1);
  const at::Tensor expected = nn::layer_norm(clip.vision.post_layernorm, all.select(1, 0),
                                             clip.vision.config.encoder.layer_norm_eps);
  EXPECT_LE(difference(rewards::clip_vision_forward(clip.vision, x), expected), 1e-5);
}

TEST(ClipPreprocess, NormalisesTheNativeSizeOnly) {
  rewards::ImageTransform transform{.size = 2, .mean = {0.5, 0.25, 0}, .std = {0.5, 1, 2}};
  const at::Tensor images = at::full({1, 3, 2, 2}, 0.75f);
  const at::Tensor out = rewards::clip_preprocess(transform, images);
  EXPECT_FLOAT_EQ(out[0][0][0][0].item<float>(), 0.5f);
  EXPECT_FLOAT_EQ(out[0][1][1][0].item<float>(), 0.5f);
  EXPECT_FLOAT_EQ(out[0][2][1][1].item<float>(), 0.375f);
  EXPECT_THROW(rewards::clip_preprocess(transform, at::zeros({3, 2, 2})), c10::Error);
}

TEST(ClipPreprocess, CutsTheMiddleAndPassesGradientsThere) {
  const rewards::ImageTransform transform{.size = 4, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  const at::Tensor images = at::rand({1, 3, 4, 9}).requires_grad_(true);
  const at::Tensor out = rewards::clip_preprocess(transform, images);
  EXPECT_TRUE(out.equal(images.slice(3, 2, 6)));  // (9 - 4) / 2, rounded down
  out.sum().backward();
  EXPECT_EQ(images.grad().sum().item<float>(), 48.0f);
}

TEST(Clip, SavesWhatItLoads) {
  const fs::path folder = copy_of_golden();
  const rewards::Clip clip = rewards::load_clip(folder);
  rewards::save_clip(folder, clip, at::kFloat);
  const rewards::Clip again = rewards::load_clip(folder);
  const auto golden = data::read_safetensors(kGolden / "clip_gelu.safetensors");
  EXPECT_TRUE(rewards::image_features(again, golden.tensors.at("images"))
                  .equal(rewards::image_features(clip, golden.tensors.at("images"))));
  EXPECT_TRUE(rewards::text_features(again, golden.tensors.at("ids"))
                  .equal(rewards::text_features(clip, golden.tensors.at("ids"))));
  EXPECT_EQ(again.transform.mean, clip.transform.mean);
}

TEST(Clip, FeaturesHaveUnitNorm) {
  auto generator = at::detail::createCPUGenerator(0);
  rewards::ClipConfig config;
  config.text.encoder = config.vision.encoder = {
      .hidden_size = 8, .intermediate_size = 8, .num_hidden_layers = 1, .num_attention_heads = 2};
  config.text.vocab_size = 10;
  config.vision.image_size = 8;
  config.vision.patch_size = 4;
  config.projection_dim = 6;
  const rewards::Clip clip = rewards::make_clip(config, generator);
  const at::Tensor image =
      rewards::image_features(clip, at::rand({2, 3, 8, 8}, generator, at::kFloat));
  EXPECT_LE(difference(image.norm(2, {1}), at::ones({2})), 1e-6);
  EXPECT_EQ(image.size(1), 6);
  EXPECT_NEAR(clip.logit_scale.exp().item<double>(), 1 / 0.07, 1e-3);
}

TEST(Clip, NamesWhatIsWrongWithItsFiles) {
  const fs::path folder = copy_of_golden();
  data::write_file(folder / "config.json", R"({"hidden_size": 8})");
  EXPECT_NE(refusal([&] { rewards::load_clip(folder); }).find("vision_config is missing"),
            std::string::npos);
  fs::copy_file(kGolden / "clip_gelu" / "config.json", folder / "config.json",
                fs::copy_options::overwrite_existing);
  data::write_file(folder / "preprocessor_config.json", R"({"image_mean": [1, 2]})");
  EXPECT_NE(refusal([&] { rewards::load_clip(folder); }).find("image_mean: expected three numbers"),
            std::string::npos);
  data::Weights weights = data::read_safetensors(kGolden / "clip_gelu" / "model.safetensors");
  weights.tensors.erase("vision_model.pre_layrnorm.weight");
  data::write_safetensors(folder / "model.safetensors", weights);
  fs::remove(folder / "preprocessor_config.json");
  EXPECT_NE(refusal([&] { rewards::load_clip(folder); }).find("vision_model.pre_layrnorm.weight"),
            std::string::npos);
  fs::remove(folder / "model.safetensors");
  EXPECT_NE(refusal([&] { rewards::load_clip(folder); }).find("found no weights"),
            std::string::npos);
}

}  // namespace
