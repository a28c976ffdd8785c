#include "diffusion/networks/flux/flux.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <set>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/profile/flops.hpp"
#include "data/train/optimizers.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/networks/flux/forward.hpp"
#include "diffusion/networks/network.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Flux;
using diffusion::FluxConfig;

// Largest difference over the largest value.
double error_of(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

FluxConfig tiny_flux_config() {
  return {.in_channels = 16,
          .out_channels = 16,
          .num_layers = 1,
          .num_single_layers = 2,
          .attention_head_dim = 8,
          .num_attention_heads = 2,
          .joint_attention_dim = 6,
          .pooled_projection_dim = 5,
          .guidance_embeds = true,
          .axes_dims_rope = {2, 2, 4}};
}

Flux tiny_flux() {
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_flux(tiny_flux_config(), generator);
}

struct FluxInputs {
  at::Tensor x, t, hidden, pooled;
};
FluxInputs inputs_of(int64_t rows = 6, int64_t columns = 4) {
  auto generator = at::detail::createCPUGenerator(2);
  return {at::randn({2, 4, rows, columns}, generator), at::tensor({900.25, 10.0}),
          at::randn({2, 3, 6}, generator), at::randn({2, 5}, generator)};
}

at::Tensor flux_output(const Flux& flux, const FluxInputs& in) {
  return diffusion::flux_forward(flux, in.x, in.t, diffusion::embed_text(flux, in.hidden),
                                 in.pooled);
}

class FluxGolden : public testing::TestWithParam<const char*> {};

TEST_P(FluxGolden, OutputAndEveryGradientAreDiffusers) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(golden::folder() / ("flux_" + kind + ".safetensors"));
  Flux flux = diffusion::load_flux(golden::folder() / ("flux_" + kind));
  const auto params = train::parameters_of(flux, "");
  for (const std::string number : {"0", "1"}) {
    const auto of = [&](const std::string& name) { return golden.tensors.at(number + "." + name); };
    const auto leaf = [&](const char* name) { return of(name).clone().requires_grad_(true); };
    train::zero_grad(params);
    flux.guidance = of("guidance").item<double>();
    const FluxInputs in{leaf("x"), of("t"), leaf("hidden"), leaf("pooled")};
    const at::Tensor out = flux_output(flux, in);
    ::golden::expect_agreement("FLUX, output", error_of(out.detach(), of("out")), 1e-5);
    (out * of("loss_weights")).sum().backward();
    ::golden::expect_agreement("FLUX, gradient of x", error_of(in.x.grad(), of("grad_x")), 1e-5);
    EXPECT_LE(error_of(in.hidden.grad(), of("grad_hidden")), 1e-5);
    EXPECT_LE(error_of(in.pooled.grad(), of("grad_pooled")), 1e-5);
  }
  // Of the second case. Keys' biases shift all scores of a query nearly alike, so errors are
  // compared with the largest gradient of all.
  double largest = 0, error = 0;
  for (const auto& param : params) {
    ASSERT_TRUE(golden.tensors.contains("grad." + param.name)) << param.name;
    const at::Tensor& expected = golden.tensors.at("grad." + param.name);
    ASSERT_TRUE(param.value.grad().defined()) << param.name;
    largest = std::max(largest, expected.abs().max().item<double>());
    error = std::max(error, (param.value.grad() - expected).abs().max().item<double>());
  }
  EXPECT_GT(params.size(), 60u);
  ::golden::expect_agreement("FLUX, gradients of the weights", error / largest, 1e-5);
}

TEST_P(FluxGolden, AFolderIsWrittenAsItWasRead) {
  const fs::path source = golden::folder() / (std::string("flux_") + GetParam()),
                 copy = tests::fresh_folder();
  Flux flux = diffusion::load_flux(source);
  diffusion::save_flux(copy, flux, at::kFloat);
  const auto expected = data::read_json(source / "config.json"),
             written = data::read_json(copy / "config.json");
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(written.at(key), value) << key;
  const auto before = data::read_safetensors(source / "diffusion_pytorch_model.safetensors"),
             after = data::read_safetensors(copy / "diffusion_pytorch_model.safetensors");
  ASSERT_EQ(before.tensors.size(), after.tensors.size());
  for (const auto& [name, tensor] : before.tensors)
    EXPECT_TRUE(at::equal(tensor, after.tensors.at(name))) << name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, FluxGolden, testing::Values("dev", "schnell", "odd"));

TEST(Flux, GradientsAgreeWithFiniteDifferences) {
  Flux flux = tiny_flux();
  for_each_tensor(flux, "", [](const std::string&, at::Tensor& t) { t = t.to(at::kDouble); });
  FluxInputs in = inputs_of();
  for (auto* tensor : {&in.x, &in.hidden, &in.pooled}) *tensor = tensor->to(at::kDouble);
  in.x.requires_grad_(true);
  auto generator = at::detail::createCPUGenerator(7);
  const at::Tensor weights = at::randn({2, 4, 6, 4}, generator, at::TensorOptions(at::kDouble)),
                   change = at::randn({2, 4, 6, 4}, generator, at::TensorOptions(at::kDouble));
  const auto loss = [&](const at::Tensor& x) {
    return (flux_output(flux, {x, in.t, in.hidden, in.pooled}) * weights).sum();
  };
  loss(in.x).backward();
  const at::NoGradGuard no_grad;
  const double h = 1e-6;
  const double numeric =
      ((loss(in.x + h * change) - loss(in.x - h * change)) / (2 * h)).item<double>();
  EXPECT_NEAR((in.x.grad() * change).sum().item<double>(), numeric,
              1e-6 * std::abs(numeric) + 1e-8);
}

TEST(Flux, CheckpointingGivesTheSameGradientsBitForBit) {
  std::vector<at::Tensor> gradients[2];
  for (const bool checkpointing : {false, true}) {
    Flux flux = tiny_flux();
    flux.gradient_checkpointing = checkpointing;
    const auto params = train::parameters_of(flux, "");
    flux_output(flux, inputs_of()).square().sum().backward();
    for (const auto& param : params) gradients[checkpointing].push_back(param.value.grad());
  }
  for (size_t i = 0; i < gradients[0].size(); ++i)
    EXPECT_TRUE(at::equal(gradients[0][i], gradients[1][i])) << i;
}

// A swap of scale and shift shows at once: the output is proj_out of the shift alone, and a token's
// values are channel, row, column.
TEST(Flux, TheLastModulationIsScaleThenShift) {
  const at::NoGradGuard no_grad;
  Flux flux = tiny_flux();
  flux.norm_out.weight.zero_();
  flux.norm_out.bias.slice(0, 0, 16).fill_(-1);                             // 1 + scale = 0
  flux.norm_out.bias.slice(0, 16).fill_(0.5);                               // shift
  const at::Tensor token = nn::linear(flux.proj_out, at::full({16}, 0.5));  // [4 2 2]
  const at::Tensor out = flux_output(flux, inputs_of());
  EXPECT_TRUE(at::allclose(out[1].slice(1, 4, 6).slice(2, 2, 4), token.view({4, 2, 2})));
}

TEST(Flux, PackingIsUndoneAndPutsTheChannelFirst) {
  const at::Tensor x = at::arange(2 * 3 * 4 * 6).view({2, 3, 4, 6}).to(at::kFloat);
  const at::Tensor tokens = diffusion::packed_latents(x);
  EXPECT_EQ(tokens.sizes(), (std::vector<int64_t>{2, 6, 12}));
  EXPECT_EQ(tokens[1][4][0].item<float>(), x[1][0][2][2].item<float>());
  EXPECT_EQ(tokens[1][4][1].item<float>(), x[1][0][2][3].item<float>());
  EXPECT_EQ(tokens[1][4][2].item<float>(), x[1][0][3][2].item<float>());
  EXPECT_EQ(tokens[1][4][11].item<float>(), x[1][2][3][3].item<float>());
  EXPECT_TRUE(at::equal(diffusion::unpacked_latents(tokens, 4, 6), x));
  EXPECT_THROW(diffusion::packed_latents(at::zeros({1, 3, 5, 6})), c10::Error);
}

TEST(Flux, AnImageReadsItsOwnTextAndTheGuidance) {
  const at::NoGradGuard no_grad;
  Flux flux = tiny_flux();
  FluxInputs in = inputs_of();
  const at::Tensor before = flux_output(flux, in);
  in.hidden[1][2] += 1;
  const at::Tensor after = flux_output(flux, in);
  EXPECT_TRUE(at::allclose(before[0], after[0], 1e-6, 1e-7));
  EXPECT_FALSE(at::allclose(before[1], after[1], 1e-4, 1e-4));
  flux.guidance = 1;
  EXPECT_FALSE(at::allclose(flux_output(flux, in), after, 1e-4, 1e-4));
}

// Places tell tokens apart: the same latents in another order are not the same image reordered.
TEST(Flux, ATokensPlaceMatters) {
  const at::NoGradGuard no_grad;
  const Flux flux = tiny_flux();
  FluxInputs in = inputs_of(4, 4);
  const at::Tensor before = flux_output(flux, in);
  in.x = in.x.roll(2, 3);
  EXPECT_FALSE(at::allclose(flux_output(flux, in).roll(2, 3), before, 1e-4, 1e-4));
}

TEST(Flux, SizesThatDoNotFitThrow) {
  const at::NoGradGuard no_grad;
  const Flux flux = tiny_flux();
  EXPECT_THROW(flux_output(flux, inputs_of(7, 4)), c10::Error);  // half a token
  FluxInputs in = inputs_of();
  in.pooled = at::zeros({2, 6});
  EXPECT_THROW(flux_output(flux, in), c10::Error);
  EXPECT_THROW(diffusion::embed_text(flux, at::zeros({2, 3, 7})), c10::Error);
}

TEST(Flux, IsANetwork) {
  const at::NoGradGuard no_grad;
  diffusion::Network network = tiny_flux();
  const auto traits = diffusion::traits(network);
  EXPECT_EQ(traits.in_channels, 4);
  EXPECT_EQ(traits.patch_size, 2);
  EXPECT_EQ(traits.context_width, 6);
  EXPECT_EQ(traits.pooled_width, 5);
  EXPECT_EQ(traits.guidance, 3.5);
  EXPECT_EQ(traits.guidance_width, 0);
  diffusion::set_guidance(network, 2);
  EXPECT_EQ(diffusion::traits(network).guidance, 2);
  const FluxInputs in = inputs_of();
  diffusion::ExtraConditions extra;
  extra.text_embeds = in.pooled;
  Flux same = tiny_flux();
  same.guidance = 2;
  EXPECT_TRUE(
      at::equal(diffusion::forward(network, in.x, in.t, in.hidden, extra), flux_output(same, in)));
  FluxConfig plain = tiny_flux_config();
  plain.guidance_embeds = false;
  auto generator = at::detail::createCPUGenerator(1);
  network = diffusion::make_flux(plain, generator);
  EXPECT_FALSE(diffusion::traits(network).guidance.has_value());
  EXPECT_THROW(diffusion::set_guidance(network, 2), c10::Error);
  const diffusion::Network half = diffusion::with_compute_dtype(network, at::kBFloat16);
  EXPECT_EQ(std::get<Flux>(half).proj_out.weight.scalar_type(), at::kBFloat16);
}

TEST(Flux, LayersThatCarryALoraAreNamedAsDiffusersModules) {
  Flux flux = tiny_flux();
  std::set<std::string> all, adaptable;
  for_each_tensor(flux, "", [&](const std::string& name, at::Tensor&) { all.insert(name); });
  const auto each = [&](const std::string& name, auto&) { adaptable.insert(name); };
  for_each_adaptable_layer(flux, {each, each});
  for (const auto& name : adaptable) EXPECT_TRUE(all.contains(name + ".weight")) << name;
  for (const char* name :
       {"transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_add_out",
        "single_transformer_blocks.1.proj_mlp", "single_transformer_blocks.0.attn.to_v",
        "single_transformer_blocks.0.norm.linear", "x_embedder", "proj_out"})
    EXPECT_TRUE(adaptable.contains(name)) << name;
  EXPECT_FALSE(adaptable.contains("single_transformer_blocks.0.attn.to_out.0"));
  EXPECT_FALSE(adaptable.contains("transformer_blocks.0.attn.norm_q"));
}

// FLUX.1 dev's size without memory: parameters, and operations of a forward pass with 512 text
// tokens, as counted of diffusers' own network on tensors without values.
TEST(Flux, TheReleasedNetworkHasItsParametersAndOperations) {
  Flux flux = diffusion::meta_flux({.guidance_embeds = true});
  double count = 0;
  for_each_tensor(flux, "", [&](const std::string&, at::Tensor& tensor) {
    count += static_cast<double>(tensor.numel());
  });
  EXPECT_NEAR(count, 11.90e9, 0.005e9);
  const auto empty = [](std::vector<int64_t> shape) { return at::empty(shape, at::kMeta); };
  const at::NoGradGuard no_grad;
  for (const auto& [side, known] : {std::pair{64, 21.5e12}, std::pair{128, 74.4e12}}) {
    const double flops = static_cast<double>(data::count_flops([&] {
      flux_output(flux,
                  {empty({1, 16, side, side}), empty({1}), empty({1, 512, 4096}), empty({1, 768})});
    }));
    EXPECT_NEAR(flops, known, 0.02 * known);
  }
}

TEST(FluxConfig, MistakesAreNamed) {
  const auto refused = [](const std::string& json, const std::string& expected) {
    const fs::path path = tests::fresh_folder() / "config.json";
    data::write_file(path, json);
    const std::string message = refusal([&] { diffusion::read_flux_config(path); });
    EXPECT_NE(message.find(expected), std::string::npos) << message << json;
  };
  refused(R"({"_class_name": "SD3Transformer2DModel"})", "expected FluxTransformer2DModel");
  refused(R"({"num_layers": "many"})", "num_layers: found");
  refused(R"({"num_single_layers": 100000})", "num_single_layers: expected at most");
  refused(R"({"patch_size": 2})", "patch_size: expected 1, found 2");
  refused(R"({"in_channels": 6})", "in_channels: expected a multiple of 4");
  refused(R"({"guidance_embeds": 1})", "guidance_embeds: found 1");
  refused(R"({"axes_dims_rope": [16, 56]})", "axes_dims_rope: expected 3 axes");
  refused(R"({"axes_dims_rope": [15, 57, 56]})", "axes_dims_rope: expected even numbers");
  refused(R"({"axes_dims_rope": [16, 56, 58]})", "a sum of attention_head_dim = 128, found 130");
  refused(R"({"qk_norm": "rms_norm"})", "qk_norm: not a key");
}

TEST(FluxConfig, AbsentKeysAreDiffusersDefaults) {
  const fs::path path = tests::fresh_folder() / "config.json";
  data::write_file(path, R"({"out_channels": null, "in_channels": 128})");
  const auto config = diffusion::read_flux_config(path);
  EXPECT_EQ(config.out_channels, 128);
  EXPECT_EQ(diffusion::width_of(config), 3072);
  EXPECT_EQ(config.num_single_layers, 38);
  EXPECT_FALSE(config.guidance_embeds);
}

TEST(FluxWeights, WhatDoesNotBelongIsNamed) {
  Flux flux = tiny_flux();
  data::Weights weights;
  weights.source = "here";
  for_each_tensor(flux, "", [&](const std::string& name, at::Tensor& tensor) {
    weights.tensors[name] = tensor;
  });
  FluxConfig schnell = tiny_flux_config();
  schnell.guidance_embeds = false;
  EXPECT_NE(refusal([&] {
              diffusion::flux_from_weights(weights, schnell);
            }).find("guidance_embedder.linear_1.bias is not part"),
            std::string::npos);
  weights.tensors.erase("single_transformer_blocks.1.attn.norm_k.weight");
  EXPECT_NE(refusal([&] {
              diffusion::flux_from_weights(weights, tiny_flux_config());
            }).find("single_transformer_blocks.1.attn.norm_k.weight"),
            std::string::npos);
}

}  // namespace
