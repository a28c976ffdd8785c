#include "diffusion/networks/mmdit/mmdit.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/profile/flops.hpp"
#include "data/train/optimizers.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/networks/mmdit/forward.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/mmdit.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::MMDiT;
using diffusion::MMDiTConfig;

const fs::path kGolden = golden::folder();

// Largest difference over the largest value.
double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

MMDiTConfig tiny_config() {
  MMDiTConfig config = tests::tiny_mmdit_config();
  config.dual_attention_layers = {0};
  config.qk_norm = true;
  return config;
}

MMDiT tiny_mmdit() {
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_mmdit(tiny_config(), generator);
}

struct Inputs {
  at::Tensor x, t, hidden, pooled;
};
Inputs random_inputs(int64_t rows = 8, int64_t columns = 4) {
  auto generator = at::detail::createCPUGenerator(2);
  return {at::randn({2, 4, rows, columns}, generator), at::tensor({900.25, 10.0}),
          at::randn({2, 3, 6}, generator), at::randn({2, 5}, generator)};
}

at::Tensor output_of(const MMDiT& mmdit, const Inputs& in) {
  return diffusion::mmdit_forward(mmdit, in.x, in.t, diffusion::embed_text(mmdit, in.hidden),
                                  in.pooled);
}

class MMDiTGolden : public testing::TestWithParam<const char*> {};

TEST_P(MMDiTGolden, OutputAndEveryGradientAreDiffusers) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("mmdit_" + kind + ".safetensors"));
  MMDiT mmdit = diffusion::load_mmdit(kGolden / ("mmdit_" + kind));
  const auto params = train::parameters_of(mmdit, "");
  for (const std::string number : {"0", "1"}) {
    const auto of = [&](const std::string& name) { return golden.tensors.at(number + "." + name); };
    const auto leaf = [&](const char* name) { return of(name).clone().requires_grad_(true); };
    train::zero_grad(params);
    const Inputs in{leaf("x"), of("t"), leaf("hidden"), leaf("pooled")};
    const at::Tensor out = output_of(mmdit, in);
    ::golden::expect_agreement("MMDiT, output", relative_error(out.detach(), of("out")), 1e-5);
    (out * of("loss_weights")).sum().backward();
    ::golden::expect_agreement("MMDiT, gradient of x", relative_error(in.x.grad(), of("grad_x")),
                               1e-5);
    EXPECT_LE(relative_error(in.hidden.grad(), of("grad_hidden")), 1e-5);
    EXPECT_LE(relative_error(in.pooled.grad(), of("grad_pooled")), 1e-5);
  }
  // Of the second case. Keys' biases shift all scores of a query alike: their gradients are
  // rounding, so errors are compared with the largest gradient of all.
  double largest = 0, error = 0;
  size_t compared = 0;
  for (const auto& param : params) {
    if (!golden.tensors.contains("grad." + param.name)) {
      EXPECT_EQ(param.name, "pos_embed.pos_embed");  // constant
      EXPECT_FALSE(param.value.grad().defined());
      continue;
    }
    const at::Tensor& expected = golden.tensors.at("grad." + param.name);
    ASSERT_TRUE(param.value.grad().defined()) << param.name;
    largest = std::max(largest, expected.abs().max().item<double>());
    error = std::max(error, (param.value.grad() - expected).abs().max().item<double>());
    ++compared;
  }
  EXPECT_GT(compared, 30u);
  ::golden::expect_agreement("MMDiT, gradients of the weights", error / largest, 1e-5);
}

TEST_P(MMDiTGolden, TheTableOfPositionsIsDiffusers) {
  const MMDiT mmdit = diffusion::load_mmdit(kGolden / (std::string("mmdit_") + GetParam()));
  const at::Tensor made = diffusion::sincos_positions(mmdit.config);
  EXPECT_LE((made - mmdit.position_table).abs().max().item<double>(), 1e-6);
}

TEST_P(MMDiTGolden, AFolderIsWrittenAsItWasRead) {
  const fs::path source = kGolden / (std::string("mmdit_") + GetParam());
  MMDiT mmdit = diffusion::load_mmdit(source);
  const fs::path copy = fs::path(testing::TempDir()) / (std::string("laurel_mmdit_") + GetParam());
  diffusion::save_mmdit(copy, mmdit, at::kFloat);
  auto expected = data::read_json(source / "config.json"),
       written = data::read_json(copy / "config.json");
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(written[key], value) << key;
  const auto before = data::read_safetensors(source / "diffusion_pytorch_model.safetensors"),
             after = data::read_safetensors(copy / "diffusion_pytorch_model.safetensors");
  ASSERT_EQ(before.tensors.size(), after.tensors.size());
  for (const auto& [name, tensor] : before.tensors)
    EXPECT_TRUE(at::equal(tensor, after.tensors.at(name))) << name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, MMDiTGolden, testing::Values("sd3", "sd35", "odd"));

TEST(MMDiT, GradientsAgreeWithFiniteDifferences) {
  MMDiT mmdit = tiny_mmdit();
  for_each_tensor(mmdit, "", [](const std::string&, at::Tensor& t) { t = t.to(at::kDouble); });
  Inputs in = random_inputs();
  for (auto* tensor : {&in.x, &in.hidden, &in.pooled}) *tensor = tensor->to(at::kDouble);
  in.x.requires_grad_(true);
  auto generator = at::detail::createCPUGenerator(7);
  const at::Tensor weights = at::randn({2, 4, 8, 4}, generator, at::TensorOptions(at::kDouble)),
                   change = at::randn({2, 4, 8, 4}, generator, at::TensorOptions(at::kDouble));
  const auto loss = [&](const at::Tensor& x) {
    return (output_of(mmdit, {x, in.t, in.hidden, in.pooled}) * weights).sum();
  };
  loss(in.x).backward();
  const at::NoGradGuard no_grad;
  const double h = 1e-6;
  const double numeric =
      ((loss(in.x + h * change) - loss(in.x - h * change)) / (2 * h)).item<double>();
  // The timestep's sinusoids are fp32, a constant.
  EXPECT_NEAR((in.x.grad() * change).sum().item<double>(), numeric,
              1e-6 * std::abs(numeric) + 1e-8);
}

TEST(MMDiT, CheckpointingGivesTheSameGradientsBitForBit) {
  const Inputs in = random_inputs();
  std::vector<at::Tensor> gradients[2];
  for (const bool checkpointing : {false, true}) {
    MMDiT mmdit = tiny_mmdit();
    mmdit.gradient_checkpointing = checkpointing;
    const auto params = train::parameters_of(mmdit, "");
    output_of(mmdit, in).square().sum().backward();
    for (const auto& param : params) gradients[checkpointing].push_back(param.value.grad());
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) {
    if (!gradients[0][i].defined()) continue;
    EXPECT_TRUE(at::equal(gradients[0][i], gradients[1][i])) << i;
  }
}

// A swap of scale and shift shows at once: the output is proj_out of the shift alone.
TEST(MMDiT, TheLastModulationIsScaleThenShift) {
  const at::NoGradGuard no_grad;
  MMDiT mmdit = tiny_mmdit();
  mmdit.norm_out.weight.zero_();
  mmdit.norm_out.bias.slice(0, 0, 8).fill_(-1);                             // 1 + scale = 0
  mmdit.norm_out.bias.slice(0, 8).fill_(0.5);                               // shift
  const at::Tensor patch = nn::linear(mmdit.proj_out, at::full({8}, 0.5));  // [2 2 4]
  const at::Tensor out = output_of(mmdit, random_inputs());
  // Of every patch, the channel last: [p, q, c].
  EXPECT_TRUE(
      at::allclose(out[0].slice(1, 0, 2).slice(2, 0, 2), patch.view({2, 2, 4}).permute({2, 0, 1})));
  EXPECT_TRUE(
      at::allclose(out[1].slice(1, 6, 8).slice(2, 2, 4), patch.view({2, 2, 4}).permute({2, 0, 1})));
}

TEST(MMDiT, AnImageReadsItsOwnTextAlone) {
  const at::NoGradGuard no_grad;
  const MMDiT mmdit = tiny_mmdit();
  Inputs in = random_inputs();
  const at::Tensor before = output_of(mmdit, in);
  in.hidden[1][2] += 1;
  const at::Tensor after = output_of(mmdit, in);
  EXPECT_TRUE(at::allclose(before[0], after[0], 1e-6, 1e-7));
  EXPECT_FALSE(at::allclose(before[1], after[1], 1e-4, 1e-4));
}

TEST(MMDiT, SizesThatDoNotFitThrow) {
  const at::NoGradGuard no_grad;
  const MMDiT mmdit = tiny_mmdit();
  EXPECT_THROW(output_of(mmdit, random_inputs(7, 4)), c10::Error);   // half a patch
  EXPECT_THROW(output_of(mmdit, random_inputs(14, 4)), c10::Error);  // 7 patches of at most 6
  Inputs in = random_inputs();
  in.pooled = at::zeros({2, 6});
  EXPECT_THROW(output_of(mmdit, in), c10::Error);
  EXPECT_THROW(diffusion::embed_text(mmdit, at::zeros({2, 3, 7})), c10::Error);
}

TEST(MMDiT, LayersThatCarryALoraAreNamedAsDiffusersModules) {
  MMDiT mmdit = tiny_mmdit();
  std::set<std::string> all, adaptable;
  for_each_tensor(mmdit, "", [&](const std::string& name, at::Tensor&) { all.insert(name); });
  const auto each = [&](const std::string& name, auto&) { adaptable.insert(name); };
  for_each_adaptable_layer(mmdit, {each, each});
  for (const auto& name : adaptable) EXPECT_TRUE(all.contains(name + ".weight")) << name;
  for (const char* name :
       {"transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn2.to_out.0",
        "transformer_blocks.0.attn.to_add_out", "transformer_blocks.1.ff.net.0.proj",
        "transformer_blocks.1.norm1_context.linear", "proj_out"})
    EXPECT_TRUE(adaptable.contains(name)) << name;
  EXPECT_FALSE(adaptable.contains("transformer_blocks.1.attn.to_add_out"));  // the last
  EXPECT_FALSE(adaptable.contains("transformer_blocks.1.attn2.to_q"));       // not dual
  EXPECT_FALSE(adaptable.contains("transformer_blocks.0.attn.norm_q"));
}

// The released networks' sizes without memory: parameters apart from the table, and operations of a
// forward pass with 333 text tokens at 512 px and at 1024 px, as counted of diffusers' own network
// on tensors without values.
struct Released {
  MMDiTConfig config;
  double parameters, flops, flops_1024;
};
TEST(MMDiT, ReleasedNetworksHaveTheirParametersAndOperations) {
  std::vector<int64_t> dual(13);
  for (size_t i = 0; i < dual.size(); ++i) dual[i] = static_cast<int64_t>(i);
  const auto config = [](int64_t layers, int64_t side) {
    return MMDiTConfig{.num_layers = layers,
                       .num_attention_heads = layers,
                       .caption_projection_dim = 64 * layers,
                       .pos_embed_max_size = side};
  };
  MMDiTConfig medium35 = config(24, 384), large = config(38, 192);
  medium35.dual_attention_layers = dual;
  medium35.qk_norm = large.qk_norm = true;
  for (const Released& known : {Released{config(24, 192), 2.03e9, 2.107e12, 8.904e12},
                                Released{medium35, 2.24e9, 2.443e12, 11.25e12},
                                Released{large, 8.06e9, 7.978e12, 31.12e12}}) {
    MMDiT mmdit = diffusion::meta_mmdit(known.config);
    double count = 0;
    for_each_tensor(mmdit, "", [&](const std::string& name, at::Tensor& tensor) {
      if (name != "pos_embed.pos_embed") count += static_cast<double>(tensor.numel());
    });
    EXPECT_NEAR(count, known.parameters, 0.005e9);
    const auto empty = [](std::vector<int64_t> shape) { return at::empty(shape, at::kMeta); };
    const at::NoGradGuard no_grad;
    for (const auto& [side, flops] :
         {std::pair{64, known.flops}, std::pair{128, known.flops_1024}}) {
      const double counted = static_cast<double>(data::count_flops([&] {
        output_of(mmdit, {empty({1, 16, side, side}), empty({1}), empty({1, 333, 4096}),
                          empty({1, 2048})});
      }));
      EXPECT_NEAR(counted, flops, 0.02 * flops);
    }
  }
}

TEST(MMDiTConfig, MistakesAreNamed) {
  const auto refused = [](const std::string& json, const std::string& expected) {
    const fs::path path = fs::path(testing::TempDir()) / "laurel_mmdit_config.json";
    data::write_file(path, json);
    const std::string message = refusal([&] { diffusion::read_mmdit_config(path); });
    EXPECT_NE(message.find(expected), std::string::npos) << message << json;
  };
  refused(R"({"_class_name": "UNet2DConditionModel"})", "expected SD3Transformer2DModel");
  refused(R"({"qk_norm": "layer_norm"})", "qk_norm: expected rms_norm or null");
  refused(R"({"num_layers": "many"})", "num_layers: found");
  refused(R"({"num_layers": 0})", "num_layers: expected at least 1, found 0");
  refused(R"({"num_layers": 100000})", "num_layers: expected at most");
  refused(R"({"caption_projection_dim": 1000})", "caption_projection_dim: expected");
  refused(R"({"dual_attention_layers": [18]})", "dual_attention_layers: expected layers below");
  refused(R"({"dual_attention_layers": 3})", "dual_attention_layers: found 3");
  refused(R"({"rope_theta": 10000})", "rope_theta: not a key");
}

TEST(MMDiTConfig, AbsentKeysAreDiffusersDefaults) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_mmdit_defaults.json";
  data::write_file(path, R"({"in_channels": 8, "out_channels": null})");
  const auto config = diffusion::read_mmdit_config(path);
  EXPECT_EQ(config.out_channels, 8);
  EXPECT_EQ(diffusion::width_of(config), 1152);
  EXPECT_EQ(config.pos_embed_max_size, 96);
  EXPECT_FALSE(config.qk_norm);
}

TEST(MMDiTWeights, WhatDoesNotBelongIsNamed) {
  MMDiT mmdit = tiny_mmdit();
  data::Weights weights;
  weights.source = "here";
  for_each_tensor(mmdit, "", [&](const std::string& name, at::Tensor& tensor) {
    weights.tensors[name] = tensor;
  });
  auto more = weights;
  more.tensors["transformer_blocks.9.attn.to_q.weight"] = at::zeros({8, 8});
  EXPECT_NE(refusal([&] {
              diffusion::mmdit_from_weights(more, tiny_config());
            }).find("transformer_blocks.9.attn.to_q.weight is not part"),
            std::string::npos);
  auto fewer = weights;
  fewer.tensors.erase("transformer_blocks.0.attn2.norm_q.weight");
  EXPECT_NE(refusal([&] {
              diffusion::mmdit_from_weights(fewer, tiny_config());
            }).find("transformer_blocks.0.attn2.norm_q.weight"),
            std::string::npos);
}

}  // namespace
