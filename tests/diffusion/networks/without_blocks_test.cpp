#include "diffusion/networks/without_blocks.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "diffusion/networks/network_files.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/tiny/pipeline.hpp"
#include "tests/support/tiny/transformer_output.hpp"

namespace {

using diffusion::MMDiT;
using diffusion::Network;

Network sd35() {
  return diffusion::load_network(golden::folder() / "sd3" / "sd35" / "transformer");
}

TEST(WithoutBlocks, IsTheNetworkWhoseBlockAddsNothing) {
  const Network network = sd35();
  ASSERT_EQ(diffusion::skippable_blocks(network), 2);
  // A block whose modulation is zero has gates of zero and passes its input on.
  Network closed = network;
  auto& block = std::get<MMDiT>(closed).transformer_blocks[1];
  for (auto* stream : {&block.image, &block.text}) {
    nn::Linear& modulation = stream->modulation;
    modulation.weight = at::zeros_like(modulation.weight);
    modulation.bias = at::zeros_like(modulation.bias);
  }
  const at::Tensor found = tests::transformer_output(diffusion::without_blocks(network, {1}));
  EXPECT_TRUE(at::allclose(found, tests::transformer_output(closed), 1e-5, 1e-6));
  EXPECT_GT((found - tests::transformer_output(network)).abs().max().item<double>(), 1e-3);
}

TEST(WithoutBlocks, SharesTheWeightsThatStay) {
  const Network network = sd35(), less = diffusion::without_blocks(network, {1, 0});
  const auto &all = std::get<MMDiT>(network).transformer_blocks,
             &left = std::get<MMDiT>(less).transformer_blocks;
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].image.modulation.weight.data_ptr(), all[2].image.modulation.weight.data_ptr());
  EXPECT_EQ(all.size(), 3u);
  EXPECT_TRUE(at::equal(tests::transformer_output(diffusion::without_blocks(network, {})),
                        tests::transformer_output(network)));
}

TEST(WithoutBlocks, RefusesBlocksThatAreNotThere) {
  const Network network = sd35();
  for (const std::vector<int64_t>& blocks :
       {std::vector<int64_t>{2}, std::vector<int64_t>{-1}, std::vector<int64_t>{1, 1}})
    EXPECT_THROW(diffusion::without_blocks(network, blocks), c10::Error);
  const Network unet = tests::tiny_pipeline().network;
  EXPECT_EQ(diffusion::skippable_blocks(unet), 0);
  EXPECT_THROW(diffusion::without_blocks(unet, {0}), c10::Error);
}

}  // namespace
