#include "diffusion/lora/adapters.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/lora/write.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Network;

Network tiny_unet() {
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_unet(tests::tiny_unet_config(), generator);
}

at::Tensor output(const Network& unet) {
  const at::NoGradGuard no_gradient;
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor x = at::empty({2, 4, 8, 8}).normal_(0, 1, generator);
  const at::Tensor text = at::empty({2, 3, 8}).normal_(0, 1, generator);
  return diffusion::forward(unet, x, at::tensor({5, 700}), text);
}

// An adapted UNet whose adapters have been trained (B is not zero any more).
Network adapted_unet(const diffusion::LoraOptions& options) {
  Network unet = tiny_unet();
  auto generator = at::detail::createCPUGenerator(3);
  diffusion::attach_lora(unet, options, generator);
  for (const auto& param : diffusion::lora_parameters(unet))
    param.value.detach().normal_(0, 0.3, generator);
  return unet;
}

fs::path fresh_file(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / ("laurel_lora_" + name + ".safetensors");
  fs::remove(path);
  return path;
}

// Reads the file and adds its changes to the UNet's weights.
std::shared_ptr<diffusion::LoraWeights> load(const fs::path& path,
                                             Network& unet,
                                             double weight = 1) {
  auto lora = std::make_shared<diffusion::LoraWeights>(diffusion::read_lora(path));
  diffusion::LoraTarget target = diffusion::lora_target(unet);
  diffusion::apply_loras(target, {{lora, weight, weight}});
  return lora;
}

TEST(Lora, ChangesNothingUntilItIsTrainedAndNeverTheBase) {
  Network unet = tiny_unet();
  const Network reference = unet;
  const at::Tensor before = output(unet);
  auto generator = at::detail::createCPUGenerator(3);
  diffusion::attach_lora(unet, {.rank = 4}, generator);
  EXPECT_TRUE(at::equal(output(unet), before));
  for (const auto& param : diffusion::lora_parameters(unet)) param.value.detach().add_(0.3);
  EXPECT_GT((output(unet) - before).abs().max().item<double>(), 1e-3);
  EXPECT_TRUE(at::equal(output(reference), before));
}

TEST(Lora, TrainsTheAdaptersAlone) {
  Network unet = adapted_unet({.rank = 2});
  const auto params = diffusion::lora_parameters(unet);
  // One transformer in the lower level on the way down, one in the middle, two on the way up: 2
  // attentions of 4 projections.
  EXPECT_EQ(params.size(), 4u * 2 * 4 * 2);
  EXPECT_EQ(params[0].name,
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight");
  EXPECT_EQ(params[0].value.sizes(), (std::vector<int64_t>{2, 16}));
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor x = at::empty({1, 4, 8, 8}).normal_(0, 1, generator);
  diffusion::forward(unet, x, at::tensor({5}), at::ones({1, 3, 8})).sum().backward();
  for (const auto& param : params) EXPECT_TRUE(param.value.grad().defined()) << param.name;
  diffusion::for_each_tensor(unet, "", [](const std::string& name, at::Tensor& tensor) {
    EXPECT_FALSE(tensor.requires_grad()) << name;
  });
}

TEST(Lora, FusedWeightsGiveTheSameOutput) {
  Network unet =
      adapted_unet({.rank = 2, .alpha = 3, .targets = {"to_k", "to_out.0", "conv1", "proj_in"}});
  const at::Tensor expected = output(unet);
  diffusion::fuse_lora(unet);
  EXPECT_TRUE(diffusion::lora_parameters(unet).empty());
  EXPECT_TRUE(at::allclose(output(unet), expected, 1e-4, 1e-5));
}

TEST(Lora, AWrongTargetIsNamed) {
  Network unet = tiny_unet();
  auto generator = at::detail::createCPUGenerator(3);
  try {
    diffusion::attach_lora(unet, {.targets = {"to_q", "to_vv"}}, generator);
    FAIL();
  } catch (const data::BadInput& error) {
    EXPECT_NE(std::string(error.what()).find("'to_vv'; did you mean to_v?"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW(diffusion::attach_lora(unet, {.rank = 0}, generator), c10::Error);
}

class LoraFile : public testing::TestWithParam<diffusion::LoraFormat> {};

TEST_P(LoraFile, RoundTripKeepsTheOutputAlphaIncluded) {
  Network unet = adapted_unet({.rank = 2, .alpha = 5, .targets = {"to_q", "to_out.0", "conv2"}});
  const fs::path path = fresh_file("round_trip");
  diffusion::write_lora(path, diffusion::adapters_of(unet), GetParam(), at::kFloat,
                        {{"ss_seed", "7"}});
  Network loaded = tiny_unet();
  const auto lora = load(path, loaded);
  EXPECT_EQ(diffusion::count_changes(*lora), 4 * 2 * 2 + 8);
  EXPECT_EQ(lora->without_alpha, 0);
  EXPECT_TRUE(at::allclose(output(loaded), output(unet), 1e-4, 1e-5));
  EXPECT_EQ(lora->metadata.at("ss_seed"), "7");
  Network off = tiny_unet();
  load(path, off, 0.0);
  EXPECT_TRUE(at::equal(output(off), output(tiny_unet())));
}

INSTANTIATE_TEST_SUITE_P(
    Both, LoraFile, testing::Values(diffusion::LoraFormat::kPeft, diffusion::LoraFormat::kKohya));

TEST(LoraFile, NamesAreThoseOfTheField) {
  Network unet = adapted_unet({.rank = 2, .alpha = 4});
  const fs::path path = fresh_file("names");
  const std::string module = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0";
  diffusion::write_lora(path, diffusion::adapters_of(unet), diffusion::LoraFormat::kPeft, at::kHalf,
                        {});
  const auto peft = data::read_safetensors(path);
  EXPECT_EQ(peft.tensors.at("unet." + module + ".lora_A.weight").scalar_type(), at::kHalf);
  EXPECT_NE(peft.metadata.at("lora_adapter_metadata").find("\"unet.lora_alpha\":4.0"),
            std::string::npos);
  diffusion::write_lora(
      path, diffusion::adapters_of(unet), diffusion::LoraFormat::kKohya, at::kHalf,
      diffusion::kohya_metadata(diffusion::adapters_of(unet), {.title = "t", .base_model = "b"}));
  const auto kohya = data::read_safetensors(path);
  const std::string flat = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0";
  EXPECT_EQ(kohya.tensors.at(flat + ".lora_down.weight").sizes(), (std::vector<int64_t>{2, 16}));
  EXPECT_EQ(kohya.tensors.at(flat + ".alpha").item<double>(), 4);
  EXPECT_EQ(kohya.metadata.at("ss_network_dim"), "2");
  EXPECT_EQ(kohya.metadata.at("modelspec.architecture"), "stable-diffusion-v1/lora");
}

// The message of loading `file`, with one tensor changed.
std::string message_of(const std::function<void(data::Weights&)>& change) {
  Network unet = adapted_unet({.rank = 2});
  const fs::path path = fresh_file("bad");
  diffusion::write_lora(path, diffusion::adapters_of(unet), diffusion::LoraFormat::kPeft,
                        at::kFloat, {});
  data::Weights file = data::read_safetensors(path);
  change(file);
  const fs::path changed = fresh_file("changed");
  data::write_safetensors(changed, file);
  try {
    load(changed, unet);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(LoraFile, BadFilesAreNamed) {
  const std::string module = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
  const std::string a = "unet." + module + ".lora_A.weight";
  const auto expect = [&](const std::function<void(data::Weights&)>& change,
                          const std::string& part) {
    const std::string message = message_of(change);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  expect([&](auto& file) { file.tensors.erase(a); },
         module + ": 'down' is missing beside 'up'; half of a pair");
  expect(
      [&](auto& file) {
        file.tensors[a] = at::zeros({2, 3});
      },
      module + ": changes a weight of [16, 3], the model has one of [16, 16]");
  expect(
      [&](auto& file) {
        file.tensors[a] = at::zeros({3, 16});
      },
      "expected one rank, found 3 and 2");
  expect([&](auto& file) { file.tensors[a] = at::full({2, 16}, NAN); }, "'down' holds NaN");
  expect([&](auto& file) { file.tensors[a] = at::zeros({2, 16}, at::kInt); }, "floating-point");
  expect(
      [&](auto& file) {
        file.tensors["unet.down_blocks.7.to_q.lora_A.weight"] = at::zeros({2, 3});
        file.tensors["unet.down_blocks.7.to_q.lora_B.weight"] = at::zeros({5, 2});
      },
      "layer unet.down_blocks.7.to_q [5, 3]: the model has no such layer");
  expect([](auto& file) { file.tensors = {}; }, "found no tensor");
  expect([](auto& file) { file.tensors = {{"x", at::zeros({1})}}; }, "a name of no known form");
  expect(
      [](auto& file) {
        file.tensors = {{"conv_in.weight", at::zeros({1})}};
      },
      "found a checkpoint's tensor conv_in.weight");
}

}  // namespace
