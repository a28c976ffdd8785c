#include "diffusion/networks/prepack.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/support/tiny/mmdit.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

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
    diffusion::prepack(fast, {2, 8, 8});
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
  diffusion::prepack(large, {2, 32, 32});
  diffusion::prepack(small, {2, 8, 8});
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

TEST(Prepack, NarrowNetworksStayAsTheyAre) {
  auto generator = at::detail::createCPUGenerator(3);
  Network network = diffusion::make_unet(tests::tiny_unet_config(), generator);
  const at::Tensor before = output(network, 8);
  diffusion::prepack(network, {2, 8, 8});
  EXPECT_TRUE(prepacked_names(network).empty());
  EXPECT_TRUE(at::equal(output(network, 8), before));
}

}  // namespace
