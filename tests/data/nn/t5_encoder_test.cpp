#include "data/nn/t5_encoder.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/nn/rms_norm.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using nn::T5Config;
using nn::T5Encoder;

const fs::path kGolden = golden::folder();

T5Encoder tiny_t5() {
  auto generator = at::detail::createCPUGenerator(1);
  return nn::make_t5_encoder(
      {.vocab_size = 20, .d_model = 8, .d_kv = 3, .d_ff = 12, .num_layers = 2, .num_heads = 2},
      generator);
}

// [1, L]
at::Tensor ids_of(const std::vector<int64_t>& ids) {
  return at::tensor(ids, at::kLong).unsqueeze(0);
}

TEST(RmsNorm, ByHand) {
  const nn::Norm w{at::tensor({1.0, 2.0}), {}};
  // The root of the mean of 9 and 16 is sqrt(12.5).
  const at::Tensor y = nn::rms_norm(w, at::tensor({3.0, 4.0}), 0);
  EXPECT_NEAR(y[0].item<double>(), 3 / std::sqrt(12.5), 1e-6);
  EXPECT_NEAR(y[1].item<double>(), 8 / std::sqrt(12.5), 1e-6);
  const at::Tensor half = at::full({1, 2}, 300.0, at::kHalf);  // whose square overflows in fp16
  EXPECT_NEAR(nn::rms_norm({at::ones({2}), {}}, half, 1e-6)[0][0].item<double>(), 1, 1e-3);
  EXPECT_EQ(nn::rms_norm({at::ones({2}), {}}, half, 1e-6).scalar_type(), at::kHalf);
  EXPECT_THROW(nn::rms_norm({at::ones({3}), {}}, half, 1e-6), c10::Error);
}

TEST(RmsNorm, GradientAgreesWithFiniteDifferences) {
  const nn::Norm w{at::tensor({0.5, -2.0, 1.5}, at::kDouble), {}};
  const at::Tensor x = at::tensor({0.3, -1.0, 2.0}, at::kDouble).requires_grad_(true),
                   change = at::tensor({1.0, -0.5, 0.25}, at::kDouble);
  nn::rms_norm(w, x, 1e-6).square().sum().backward();
  const at::NoGradGuard no_grad;
  const auto loss = [&](double h) {
    return nn::rms_norm(w, x + h * change, 1e-6).square().sum().item<double>();
  };
  EXPECT_NEAR((x.grad() * change).sum().item<double>(), (loss(1e-6) - loss(-1e-6)) / 2e-6, 1e-7);
}

TEST(T5Encoder, OutputIsTransformers) {
  const auto golden = data::read_safetensors(kGolden / "t5.safetensors");
  const T5Encoder w = nn::load_t5_encoder(kGolden / "t5");
  for (const std::string length : {"1", "8", "300"}) {
    const at::Tensor expected = golden.tensors.at(length + ".out");
    const at::Tensor out = nn::t5_encoder_forward(w, golden.tensors.at(length + ".ids"));
    ::golden::expect_agreement(
        "T5 encoder",
        (out - expected).abs().max().item<double>() / expected.abs().max().item<double>(), 1e-5);
  }
}

TEST(T5Encoder, BucketsAreTransformers) {
  const auto golden = data::read_safetensors(kGolden / "t5.safetensors");
  const at::Tensor buckets = nn::relative_position_buckets({}, 300);
  for (const auto& [row, query] : {std::pair{0, 0}, {1, 150}, {2, 299}})
    EXPECT_TRUE(at::equal(buckets[query], golden.tensors.at("buckets")[row])) << query;
}

TEST(T5Encoder, BucketsBeginAtTheKnownDistances) {
  const at::Tensor first = nn::relative_position_buckets({}, 200)[0];  // to keys behind it
  const int64_t starts[] = {8, 12, 16, 23, 32, 46, 64, 91};
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(first[starts[i]].item<int64_t>(), 16 + 8 + i);
    EXPECT_EQ(first[starts[i] - 1].item<int64_t>(), 16 + 7 + i);
  }
  EXPECT_EQ(first[0].item<int64_t>(), 0);
  EXPECT_EQ(first[199].item<int64_t>(), 31);
}

// The positions of block 0 are added in every layer: with the attention of block 0 silenced, they
// still tell the order of the tokens.
TEST(T5Encoder, EveryLayerReadsThePositions) {
  const at::NoGradGuard no_grad;
  T5Encoder w = tiny_t5();
  w.layers[0].o.weight.zero_();
  w.relative_attention_bias.mul_(10);
  const at::Tensor forth = nn::t5_encoder_forward(w, ids_of({3, 4, 5})),
                   back = nn::t5_encoder_forward(w, ids_of({3, 5, 4}));
  EXPECT_FALSE(at::allclose(forth[0][0], back[0][0], 1e-3, 1e-3));
  w.relative_attention_bias.zero_();  // then the first token sees a set
  EXPECT_TRUE(at::allclose(nn::t5_encoder_forward(w, ids_of({3, 4, 5}))[0][0],
                           nn::t5_encoder_forward(w, ids_of({3, 5, 4}))[0][0], 1e-5, 1e-6));
}

TEST(T5Encoder, AFolderReadsBack) {
  T5Encoder w = tiny_t5();
  const fs::path folder = fs::path(testing::TempDir()) / "laurel_t5";
  nn::save_t5_encoder(folder, w, at::kFloat);
  const T5Encoder back = nn::load_t5_encoder(folder);
  const at::Tensor ids = ids_of({1, 2, 3, 0});
  EXPECT_TRUE(at::equal(nn::t5_encoder_forward(w, ids), nn::t5_encoder_forward(back, ids)));
}

TEST(T5Encoder, TheEmbeddingMayHaveItsOtherName) {
  T5Encoder w = tiny_t5();
  data::Weights weights;
  for_each_tensor(w, "",
                  [&](const std::string& name, at::Tensor& t) { weights.tensors[name] = t; });
  weights.tensors["encoder.embed_tokens.weight"] = weights.tensors.at("shared.weight");
  weights.tensors.erase("shared.weight");
  weights.tensors["decoder.block.0.layer.0.layer_norm.weight"] = at::ones({8});  // not read
  EXPECT_TRUE(at::equal(nn::take_t5_encoder(weights, w.config).token_embedding, w.token_embedding));
  weights.tensors.erase("encoder.block.1.layer.1.DenseReluDense.wi_1.weight");
  EXPECT_NE(refusal([&] { nn::take_t5_encoder(weights, w.config); }).find("wi_1"),
            std::string::npos);
}

TEST(T5Encoder, HalfMatricesStayAsStoredAndComputeInFp32) {
  T5Encoder w = tiny_t5();
  data::Weights half;
  for_each_tensor(w, "", [&](const std::string& name, at::Tensor& t) {
    half.tensors[name] = t.to(at::kHalf);
    t = half.tensors[name].to(at::kFloat);
  });
  const T5Encoder stored = nn::take_t5_encoder(half, w.config);
  EXPECT_EQ(stored.layers[1].wo.weight.scalar_type(), at::kHalf);
  EXPECT_EQ(stored.token_embedding.scalar_type(), at::kFloat);
  EXPECT_EQ(stored.layers[0].mlp_norm.weight.scalar_type(), at::kFloat);
  const at::Tensor ids = ids_of({1, 2, 3, 0});
  EXPECT_TRUE(at::equal(nn::t5_encoder_forward(stored, ids), nn::t5_encoder_forward(w, ids)));
}

TEST(T5Config, IsShownByTheTensors) {
  T5Encoder w = tiny_t5();
  data::Weights weights;
  for_each_tensor(w, "",
                  [&](const std::string& name, at::Tensor& t) { weights.tensors[name] = t; });
  const T5Config found = nn::t5_config_of(weights);
  EXPECT_EQ(nn::t5_config_json(found, at::kFloat), nn::t5_config_json(w.config, at::kFloat));
  weights.tensors["encoder.block.9998.x"] = at::ones({1});
  EXPECT_NE(refusal([&] { nn::t5_config_of(weights); }).find("found fewer tensors"),
            std::string::npos);
  weights.tensors.erase("encoder.block.9998.x");
  weights.tensors["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"] = at::ones({3});
  EXPECT_NE(refusal([&] { nn::t5_config_of(weights); }).find("wi_0.weight: expected two axes"),
            std::string::npos);
  weights.tensors.erase("shared.weight");
  EXPECT_NE(refusal([&] { nn::t5_config_of(weights); }).find("no such tensor"), std::string::npos);
}

TEST(T5Encoder, HalfPrecisionIsRefused) {
  T5Encoder w = tiny_t5();
  for_each_tensor(w, "", [](const std::string&, at::Tensor& t) { t = t.to(at::kHalf); });
  EXPECT_NE(refusal([&] { nn::t5_encoder_forward(w, ids_of({1})); }).find("bf16 or fp32"),
            std::string::npos);
  EXPECT_THROW(nn::t5_encoder_forward(tiny_t5(), ids_of({1})[0]), c10::Error);
}

TEST(T5Config, MistakesAreNamed) {
  const auto refused = [](const std::string& json, const std::string& expected) {
    const std::string message = refusal([&] { nn::parse_t5_config(json, "here"); });
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  };
  const std::string v11 = R"({"feed_forward_proj": "gated-gelu")";
  refused("{}", "feed_forward_proj: expected gated-gelu (T5 v1.1), found \"relu\"");
  refused(v11 + R"(, "num_heads": 0})", "num_heads");
  refused(v11 + R"(, "layer_norm_epsilon": 0})", "layer_norm_epsilon: expected a number above 0");
  refused(v11 + R"(, "relative_attention_num_buckets": 5})", "a multiple of 4");
  refused(v11 + R"(, "relative_attention_max_distance": 8})", "relative_attention_max_distance");
  EXPECT_EQ(nn::parse_t5_config(v11 + "}", "here").d_ff, 10240);
}

}  // namespace
