#include "diffusion/networks/prepack.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "diffusion/networks/network_files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/mmdit.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Network;

// Two levels of 320 channels.
Network wide_unet() {
  auto config = tests::tiny_unet_config();
  config.block_out_channels = {320, 320};
  config.norm_num_groups = 32;
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_unet(config, generator);
}

Network wide_transformer() {
  auto config = tests::tiny_mmdit_config();
  config.attention_head_dim = 160;
  config.caption_projection_dim = 320;
  auto generator = at::detail::createCPUGenerator(2);
  return diffusion::make_mmdit(config, generator);
}

at::Tensor output(const Network& network, int64_t side) {
  const at::NoGradGuard no_grad;
  const auto of = diffusion::traits(network);
  const at::Tensor x =
      at::arange(2 * of.in_channels * side * side, at::kFloat).cos().view({2, -1, side, side});
  const at::Tensor hidden = at::arange(2 * 3 * of.context_width, at::kFloat).sin().view({2, 3, -1});
  diffusion::ExtraConditions extra;
  if (of.pooled_width > 0) extra.text_embeds = at::ones({2, of.pooled_width});
  return diffusion::forward(network, x, at::full({2}, 500.0), hidden, extra);
}

std::set<std::string> prepacked_names(Network network) {
  std::set<std::string> names;
  diffusion::for_each_tensor(network, "", [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.is_mkldnn()) names.insert(name);
  });
  return names;
}

// Also at a size that it was not prepacked for.
TEST(Prepack, NetworksGiveTheSameOutput) {
  for (const Network& plain : {wide_unet(), wide_transformer()}) {
    Network fast = plain;
    diffusion::prepack(fast, {2, 8, 8}, at::kFloat);
    EXPECT_FALSE(prepacked_names(fast).empty());
    EXPECT_TRUE(prepacked_names(plain).empty());
    for (const int64_t side : {8, 12}) {
      const at::Tensor expected = output(plain, side);
      const double error =
          ((output(fast, side) - expected).norm() / expected.norm()).item<double>();
      EXPECT_LT(error, 1e-5) << side;
    }
  }
}

// At 32 x 32 Winograd's filtering fits the first level, at 8 x 8 none; a resampling with stride 2
// and products are prepacked at both.
TEST(Prepack, LeavesTheConvolutionsThatWinogradFits) {
  Network large = wide_unet(), small = wide_unet();
  diffusion::prepack(large, {2, 32, 32}, at::kFloat);
  diffusion::prepack(small, {2, 8, 8}, at::kFloat);
  const auto few = prepacked_names(large), many = prepacked_names(small);
  const std::string first = "down_blocks.0.resnets.0.conv1.weight",
                    resample = "down_blocks.0.downsamplers.0.conv.weight",
                    product = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight",
                    deep = "mid_block.resnets.0.conv1.weight";
  EXPECT_FALSE(few.contains(first));
  EXPECT_TRUE(many.contains(first));
  for (const auto& name : {resample, product}) {
    EXPECT_TRUE(few.contains(name)) << name;
    EXPECT_TRUE(many.contains(name)) << name;
  }
  EXPECT_TRUE(many.contains(deep));
}

// Weights in a file's type give what those that were read as fp32 give.
TEST(Prepack, TakesWeightsInTheTypeOfTheirFile) {
  const fs::path folder = tests::fresh_folder();
  diffusion::UNet unet = std::get<diffusion::UNet>(wide_unet());
  diffusion::save_unet(folder, unet, at::kHalf);
  Network plain = diffusion::load_network(folder),
          stored = diffusion::load_network(folder, {.as_stored = true});
  EXPECT_EQ(diffusion::unet_of(stored).mid_block.resnets[0].conv1.weight.scalar_type(), at::kHalf);
  EXPECT_EQ(diffusion::unet_of(stored).conv_in.weight.scalar_type(), at::kFloat);
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    Network expected = plain, found = stored;
    diffusion::prepack(expected, {2, 8, 8}, compute);
    diffusion::prepack(found, {2, 8, 8}, compute);
    EXPECT_EQ(prepacked_names(found), prepacked_names(expected));
    if (compute == at::kFloat) EXPECT_TRUE(at::equal(output(found, 8), output(expected, 8)));
    diffusion::for_each_adaptable_layer(found,
                                        {[&](const std::string& name, const nn::Linear& layer) {
                                           EXPECT_EQ(layer.weight.scalar_type(), compute) << name;
                                         },
                                         [&](const std::string& name, const nn::Conv2d& layer) {
                                           EXPECT_EQ(layer.weight.scalar_type(), compute) << name;
                                         }});
  }
}

TEST(Prepack, NarrowNetworksStayAsTheyAre) {
  auto generator = at::detail::createCPUGenerator(3);
  Network network = diffusion::make_unet(tests::tiny_unet_config(), generator);
  const at::Tensor before = output(network, 8);
  diffusion::prepack(network, {2, 8, 8}, at::kFloat);
  EXPECT_TRUE(prepacked_names(network).empty());
  EXPECT_TRUE(at::equal(output(network, 8), before));
}

}  // namespace
