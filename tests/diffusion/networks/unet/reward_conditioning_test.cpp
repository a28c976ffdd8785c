#include "diffusion/networks/unet/reward_conditioning.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/weights/safetensors.hpp"
#include "diffusion/families/identify.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "diffusion/pipeline/edit_conditioning.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/edit_task.hpp"

namespace {

using diffusion::RewardCondition;
using diffusion::UNet;

struct Inputs {
  at::Tensor x, t, context;
};
Inputs inputs(int64_t batch) {
  auto generator = at::detail::createCPUGenerator(9);
  return {at::randn({batch, 8, 8, 8}, generator), at::full({batch}, 300),
          at::randn({batch, 3, 8}, generator)};
}

RewardCondition asked(double following, double preserving, double quality, int64_t batch = 1) {
  const at::Tensor scores = at::tensor({following, preserving, quality}, at::kFloat);
  const at::Tensor all = scores.expand({batch, 3}).contiguous();
  return {all, all.isfinite(), {}};
}

at::Tensor output(const UNet& unet, const RewardCondition& reward, int64_t batch = 1) {
  const Inputs in = inputs(batch);
  diffusion::ExtraConditions added;
  added.reward = reward;
  return diffusion::unet_forward(unet, in.x, in.t, in.context, added);
}

TEST(RewardBranch, ANewOneChangesNoBitWhateverIsAskedFor) {
  const at::Tensor base = output(diffusion::unet_of(tests::tiny_ip2p().network), {});
  for (const auto& branch : {tests::native_branch(), tests::published_branch()}) {
    const UNet unet = diffusion::unet_of(tests::tiny_editor(branch).network);
    for (const auto& reward : {asked(5, 5, 5), asked(0, 3, 1), asked(NAN, 2, NAN)})
      EXPECT_TRUE(at::equal(output(unet, reward), base));
    EXPECT_TRUE(at::equal(output(unet, {}), base));
  }
}

TEST(RewardBranch, AScoreThatIsNotAskedForIsNotRead) {
  for (const auto& branch : {tests::native_branch(), tests::published_branch()}) {
    UNet unet = diffusion::unet_of(tests::tiny_editor(branch).network);
    tests::unsilence(unet);
    RewardCondition a = asked(1, 2, 3), b = asked(4, NAN, 3);
    a.valid = b.valid = at::tensor({0, 0, 1}, at::kLong).to(at::kBool).view({1, 3});
    EXPECT_TRUE(at::equal(output(unet, a), output(unet, b)));
    EXPECT_GT((output(unet, asked(1, 2, 3)) - output(unet, a)).abs().max().item<double>(), 1e-5);
    EXPECT_TRUE(at::equal(output(unet, asked(NAN, NAN, NAN)), output(unet, {})));
    // Null is not the lowest score.
    EXPECT_FALSE(at::equal(output(unet, asked(0, 0, 0)), output(unet, {})));
  }
}

TEST(RewardBranch, NativeSinusoidsByHand) {
  UNet unet = diffusion::unet_of(tests::tiny_editor().network);
  auto& w = unet.reward;
  // Row 0 of the first layer picks cos(a) of axis 0, row 1 its sin at the slower rate, row 2 the
  // validity of axis 1.
  w.time_1.weight = at::zeros_like(w.time_1.weight);
  w.time_1.bias = at::zeros_like(w.time_1.bias);
  w.time_1.weight[0][0] = 1;
  w.time_1.weight[1][3] = 1;
  w.time_1.weight[2][13] = 1;
  w.time_2.weight = at::eye(w.time_2.weight.size(0));
  const at::Tensor got = diffusion::reward_time(w, unet.config.reward, asked(2, 5, NAN), 1)[0];
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  EXPECT_NEAR(got[0].item<double>(), silu(std::cos(2.0)), 1e-6);
  EXPECT_NEAR(got[1].item<double>(), silu(std::sin(2.0 / std::sqrt(100.0))), 1e-6);
  EXPECT_NEAR(got[2].item<double>(), silu(1.0), 1e-6);
}

TEST(RewardBranch, SurvivesTheDisk) {
  for (const auto& branch : {tests::native_branch(), tests::published_branch()}) {
    UNet unet = diffusion::unet_of(tests::tiny_editor(branch).network);
    unet.config.reward.axes = {"instruction_following", "beauty", "generation_quality"};
    tests::unsilence(unet);
    const auto folder = tests::fresh_folder("unet");
    diffusion::save_unet(folder, unet, at::kFloat);
    const UNet read = diffusion::load_unet(folder);
    EXPECT_EQ(read.config.reward.axes, unet.config.reward.axes);
    EXPECT_EQ(read.config.reward.layout, unet.config.reward.layout);
    EXPECT_TRUE(
        at::allclose(output(read, asked(1, 2, 3)), output(unet, asked(1, 2, 3)), 1e-6, 1e-6));
    EXPECT_EQ(refusal([&] { diffusion::axis_index(read.config.reward, "beuty", "reward"); }),
              "reward: unknown axis 'beuty'; expected one of instruction_following, beauty, "
              "generation_quality; did you mean beauty?");
  }
}

TEST(RewardBranch, ThePublishedOneIsKnownByItsTensors) {
  UNet unet = diffusion::unet_of(tests::tiny_editor(tests::published_branch()).network);
  tests::unsilence(unet);
  const auto folder = tests::fresh_folder("unet");
  diffusion::save_unet(folder, unet, at::kFloat);
  diffusion::UNetConfig silent = unet.config;  // as its authors' code writes it
  silent.reward = {};
  diffusion::write_unet_config(folder / "config.json", silent);
  const UNet read = diffusion::load_unet(folder);
  EXPECT_EQ(read.config.reward.layout, diffusion::RewardLayout::kPublished);
  EXPECT_EQ(read.config.reward.text_dim, 8);
  const auto kind =
      diffusion::identify(data::read_safetensors(folder / "diffusion_pytorch_model.safetensors"));
  EXPECT_EQ(kind.kind.find("XL"), std::string::npos) << kind.kind;
  EXPECT_TRUE(at::allclose(output(read, asked(1, 2, 3)), output(unet, asked(1, 2, 3)), 1e-6, 1e-6));
}

// Against diffusers' UNet with transformers' BERT layer after conv_in, under the checkpoint's
// names.
TEST(RewardBranch, ThePublishedOneIsPythons) {
  const auto golden = data::read_safetensors(golden::folder() / "edit_published.safetensors");
  data::Weights weights;
  for (const auto& [name, tensor] : golden.tensors) {
    if (name.starts_with("unet.")) weights.tensors[name.substr(5)] = tensor.to(at::kFloat);
  }
  diffusion::UNetConfig config = tests::tiny_unet_config();
  config.in_channels = 8;
  config.reward = diffusion::reward_config_of(weights);
  EXPECT_EQ(config.reward.embedding_dim, 6);
  const UNet unet = diffusion::unet_from_weights(weights, config);
  diffusion::ExtraConditions added;
  added.reward = {golden.tensors.at("scores"), at::ones({2, 3}, at::kBool),
                  golden.tensors.at("text")};
  const at::Tensor expected = golden.tensors.at("output");
  const at::Tensor found = diffusion::unet_forward(
      unet, golden.tensors.at("x"), golden.tensors.at("t"), golden.tensors.at("context"), added);
  golden::expect_agreement(
      "published reward branch",
      (found - expected).abs().max().item<double>() / expected.abs().max().item<double>(), 1e-5);
  added.reward.scores = golden.tensors.at("scores").flip(0);
  EXPECT_GT((diffusion::unet_forward(unet, golden.tensors.at("x"), golden.tensors.at("t"),
                                     golden.tensors.at("context"), added) -
             expected)
                .abs()
                .max()
                .item<double>(),
            1e-3);
}

TEST(RewardBranch, ThePublishedShapes) {
  diffusion::UNetConfig config;
  config.in_channels = 8;
  config.reward = diffusion::published_reward_config();
  int64_t count = 0;
  const auto add = [&](const std::string&, auto& layer) {
    count += layer.weight.numel() + layer.bias.numel();
  };
  auto generator = at::detail::createCPUGenerator(1);
  auto branch = diffusion::build_reward_branch(diffusion::random_layers(generator), config.reward,
                                               {320, 1280});
  visit_layers(branch, "", {add, add, add});
  EXPECT_EQ(count, 5026880);
}

TEST(RewardBranch, RefusesABranchThatDoesNotFit) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto refused = [&](const diffusion::RewardBranchConfig& branch) {
    return refusal([&] {
      diffusion::with_reward_branch(diffusion::unet_of(tests::tiny_ip2p().network), branch,
                                    generator);
    });
  };
  auto branch = tests::native_branch();
  branch.axes = {"a", "a"};
  EXPECT_EQ(refused(branch),
            "reward branch: reward_condition.axes: expected distinct names, at least one, found a, "
            "a");
  branch = tests::native_branch();
  branch.embedding_dim = 3;
  EXPECT_NE(refused(branch).find("embedding_dim: expected an even number"), std::string::npos);
  EXPECT_NE(refusal([&] {
              diffusion::with_reward_branch(diffusion::unet_of(tests::tiny_pipeline().network),
                                            tests::native_branch(), generator);
            }).find("expected in_channels = 2 x out_channels"),
            std::string::npos);
}

TEST(EditModel, TheExtendedInputReadsTheImageThroughZerosAndKeepsTheBias) {
  const UNet plain = diffusion::unet_of(tests::tiny_pipeline().network),
             edits = diffusion::with_image_input(plain);
  EXPECT_EQ(edits.config.in_channels, 8);
  EXPECT_TRUE(at::equal(edits.conv_in.weight.narrow(1, 0, 4), plain.conv_in.weight));
  EXPECT_EQ(edits.conv_in.weight.narrow(1, 4, 4).abs().max().item<double>(), 0.0);
  EXPECT_TRUE(at::equal(edits.conv_in.bias, plain.conv_in.bias));
  const Inputs in = inputs(1);
  EXPECT_TRUE(at::allclose(diffusion::unet_forward(edits, in.x, in.t, in.context),
                           diffusion::unet_forward(plain, in.x.narrow(1, 0, 4), in.t, in.context),
                           1e-5, 1e-6));
}

// ---- guidance ----

diffusion::Conditioning conditions(int64_t batch) {
  auto generator = at::detail::createCPUGenerator(11);
  diffusion::Conditioning result;
  result.text.hidden = at::randn({batch, 3, 8}, generator);
  result.negative.hidden = at::randn({batch, 3, 8}, generator);
  result.image_latents = at::randn({batch, 4, 8, 8}, generator);
  result.reward = asked(5, 4, 3, batch);
  result.reward_low = asked(0, 1, NAN, batch);
  return result;
}

TEST(RewardGuidance, AllScalesAtOneAreTheSinglePass) {
  UNet unet = diffusion::unet_of(tests::tiny_editor().network);
  tests::unsilence(unet);
  const auto c = conditions(2);
  const at::Tensor x = inputs(2).x.narrow(1, 0, 4);
  const auto with = [&](const diffusion::GuidanceOptions& options) {
    return diffusion::guided_denoiser(unet, c, options)(x, 300.0);
  };
  const at::Tensor single = with({.scale = 1});
  // Just above 1, so that every branch is computed.
  EXPECT_TRUE(at::allclose(with({.scale = 1 + 1e-9, .image_scale = 1, .reward_scale = 1 + 1e-9}),
                           single, 1e-4, 1e-5));
  const at::Tensor pushed = with({.scale = 1, .reward_scale = 2});
  auto low = c;
  low.reward = c.reward_low;
  const at::Tensor at_low = diffusion::guided_denoiser(unet, low, {.scale = 1})(x, 300.0);
  EXPECT_TRUE(at::allclose(pushed, 2 * single - at_low, 1e-4, 1e-5));
  const at::Tensor all = with({.scale = 3, .image_scale = 1.5, .reward_scale = 2}),
                   without = with({.scale = 3, .image_scale = 1.5});
  EXPECT_TRUE(at::allclose(all - without, single - at_low, 1e-4, 1e-5));
  EXPECT_GT((single - at_low).abs().max().item<double>(), 1e-4);
}

TEST(RewardGuidance, EqualRequestsMakeTheScaleIrrelevant) {
  UNet unet = diffusion::unet_of(tests::tiny_editor().network);
  tests::unsilence(unet);
  auto c = conditions(1);
  c.reward_low = c.reward;
  const at::Tensor x = inputs(1).x.narrow(1, 0, 4);
  const auto with = [&](double scale) {
    return diffusion::guided_denoiser(
        unet, c, {.scale = 3, .image_scale = 1.5, .reward_scale = scale})(x, 300.0);
  };
  EXPECT_TRUE(at::allclose(with(5), with(1), 1e-4, 1e-5));
}

TEST(RewardGuidance, ABatchIsItsSingleRuns) {
  const diffusion::Pipeline pipeline = [] {
    auto made = tests::tiny_editor();
    tests::unsilence(diffusion::unet_of(made.network));
    return made;
  }();
  auto generator = at::detail::createCPUGenerator(1);
  std::vector<diffusion::ImageRequest> requests;
  for (int i = 0; i < 3; ++i) {
    diffusion::ImageRequest request{.prompt = i == 1 ? "a red circle" : "a blue square",
                                    .negative_prompt = "",
                                    .seed = static_cast<uint64_t>(i),
                                    .latents = {},
                                    .source = at::rand({3, 16, 16}, generator)};
    request.reward.scores = {5.0 - i, NAN, 2.0};
    if (i == 2) request.reward_low.scores = {0, 0, 0};
    requests.push_back(request);
  }
  const auto images = [&](const std::vector<diffusion::ImageRequest>& some, int64_t batch) {
    std::vector<at::Tensor> rows;
    diffusion::GenerateOptions options;
    options.sampler.steps = 3;
    options.guidance = {.scale = 4, .image_scale = 1.5, .reward_scale = 2};
    options.micro_batch = batch;
    diffusion::generate(pipeline, some, options,
                        [&](const auto& batch_of) { rows.push_back(batch_of.images); });
    return at::cat(rows);
  };
  const at::Tensor together = images(requests, 3);
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_TRUE(
        at::allclose(images({requests[i]}, 1)[0], together[static_cast<int64_t>(i)], 1e-4, 1e-5));
  requests[0].reward.scores = {0, NAN, 2.0};
  EXPECT_GT((images({requests[0]}, 1)[0] - together[0]).abs().max().item<double>(), 1e-5);
}

}  // namespace
