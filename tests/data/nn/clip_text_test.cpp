#include "data/nn/clip_text.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kGolden = golden::folder();

nn::ClipTextConfig tiny_config() {
  nn::ClipTextConfig config;
  config.encoder = {
      .hidden_size = 8, .intermediate_size = 12, .num_hidden_layers = 2, .num_attention_heads = 2};
  config.vocab_size = 20;
  config.max_position_embeddings = 6;
  config.bos_token_id = 18;
  config.eos_token_id = 19;
  return config;
}

nn::ClipText tiny_text() {
  auto generator = at::detail::createCPUGenerator(3);
  return nn::make_clip_text(tiny_config(), generator);
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

class ClipTextGolden : public testing::TestWithParam<const char*> {};

TEST_P(ClipTextGolden, HiddenAndPooledAreTransformers) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("clip_" + kind + ".safetensors"));
  // The text tower of a whole CLIP's file; its settings are a section of that file's config.
  const std::string config = data::read_file(kGolden / ("clip_" + kind) / "text_config.json");
  const nn::ClipText text =
      nn::take_clip_text(data::read_safetensors(kGolden / ("clip_" + kind) / "model.safetensors"),
                         nn::parse_clip_text_config(config, "text_config.json"));
  const at::Tensor& ids = golden.tensors.at("ids");
  const nn::TextOutput out = nn::clip_text_forward(text, ids);
  ::golden::expect_agreement("text encoder, hidden",
                             difference(out.hidden, golden.tensors.at("hidden")), 2e-5);
  ::golden::expect_agreement("text encoder, pooled",
                             difference(out.pooled, golden.tensors.at("pooled")), 2e-5);
  EXPECT_LE(
      difference(nn::clip_text_forward(text, ids, 1).hidden, golden.tensors.at("hidden_skip_1")),
      2e-5);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ClipTextGolden, testing::Values("quick_gelu", "gelu"));

TEST(ClipText, LooksOnlyBackwards) {
  const nn::ClipText text = tiny_text();
  const at::Tensor one = at::tensor({18, 4, 5, 19, 19, 19}, at::kLong).view({1, 6});
  const at::Tensor two = at::tensor({18, 4, 5, 19, 7, 8}, at::kLong).view({1, 6});
  const auto a = nn::clip_text_forward(text, one), b = nn::clip_text_forward(text, two);
  EXPECT_LE(difference(a.hidden.slice(1, 0, 4), b.hidden.slice(1, 0, 4)), 1e-6);
  EXPECT_GT(difference(a.hidden.slice(1, 4), b.hidden.slice(1, 4)), 1e-3);
  EXPECT_LE(difference(a.pooled, b.pooled), 1e-6);
  EXPECT_LE(difference(a.pooled, a.hidden.select(1, 3)), 1e-7);  // the first end token's row
}

TEST(ClipText, RefusesTooManyTokensAndLayers) {
  const nn::ClipText text = tiny_text();
  EXPECT_THROW(nn::clip_text_forward(text, at::zeros({1, 7}, at::kLong)), c10::Error);
  EXPECT_THROW(nn::clip_text_forward(text, at::zeros({6}, at::kLong)), c10::Error);
  EXPECT_THROW(nn::clip_text_forward(text, at::zeros({1, 6}, at::kLong), 3), c10::Error);
}

TEST(ClipText, SavesWhatItLoads) {
  const fs::path folder = tests::fresh_folder();
  const nn::ClipText text = tiny_text();
  nn::save_clip_text(folder, text, at::kFloat);
  const nn::ClipText again = nn::load_clip_text(folder);
  const at::Tensor ids = at::tensor({18, 4, 5, 19, 19, 19}, at::kLong).view({1, 6});
  EXPECT_TRUE(
      nn::clip_text_forward(again, ids).hidden.equal(nn::clip_text_forward(text, ids).hidden));
  EXPECT_EQ(again.config.eos_token_id, 19);
}

TEST(ClipText, ReadsNamesWithoutThePrefix) {
  // As transformers 5 writes a text tower alone.
  const fs::path folder = tests::fresh_folder();
  nn::save_clip_text(folder, tiny_text(), at::kFloat);
  const data::Weights prefixed = data::read_safetensors(folder / "model.safetensors");
  data::Weights bare;
  for (const auto& [name, tensor] : prefixed.tensors)
    bare.tensors[name.substr(std::string("text_model.").size())] = tensor.clone();
  data::write_safetensors(folder / "model.safetensors", bare);
  EXPECT_TRUE(nn::load_clip_text(folder).token_embedding.equal(tiny_text().token_embedding));
}

TEST(ClipText, NamesWhatIsWrongWithItsConfig) {
  const auto parse = [](const std::string& json) {
    return refusal([&] { nn::parse_clip_text_config(json, "config.json"); });
  };
  EXPECT_NE(parse("[]").find("config.json: expected a JSON object"), std::string::npos);
  EXPECT_NE(parse(R"({"hidden_act": "relu"})")
                .find("hidden_act: expected quick_gelu or gelu, found 'relu'"),
            std::string::npos);
  EXPECT_NE(parse(R"({"hidden_size": 10, "num_attention_heads": 3})")
                .find("expected a divisor of hidden_size 10"),
            std::string::npos);
  EXPECT_NE(parse(R"({"vocab_size": "many"})").find("vocab_size: expected a whole number"),
            std::string::npos);
  EXPECT_NE(parse(R"({"layer_norm_eps": 0})").find("layer_norm_eps"), std::string::npos);
  EXPECT_EQ(parse("{}"), "");
}

TEST(ClipText, RefusesWeightsOfAnotherSize) {
  const fs::path folder = tests::fresh_folder();
  nn::ClipText text = tiny_text();
  text.config.vocab_size = 21;
  nn::save_clip_text(folder, text, at::kFloat);
  const std::string message = refusal([&] { nn::load_clip_text(folder); });
  EXPECT_NE(message.find("token_embedding.weight: expected shape [21, 8], found [20, 8]"),
            std::string::npos)
      << message;
}

TEST(Activation, ByHand) {
  const at::Tensor x = at::tensor({-1.0, 0.0, 2.0}, at::kDouble);
  const auto quick = nn::activate(nn::Activation::kQuickGelu, x),
             gelu = nn::activate(nn::Activation::kGelu, x);
  EXPECT_NEAR(quick[2].item<double>(), 2.0 / (1.0 + std::exp(-3.404)), 1e-12);
  EXPECT_NEAR(gelu[2].item<double>(), 2.0 * 0.5 * (1.0 + std::erf(2.0 / std::sqrt(2.0))), 1e-12);
  EXPECT_EQ(quick[1].item<double>(), 0.0);
}

}  // namespace
