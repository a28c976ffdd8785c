#include "diffusion/networks/network.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/tiny/families.hpp"
#include "tests/support/tiny/mmdit.hpp"

namespace {

using diffusion::Network;

TEST(Network, TraitsAreThoseOfTheFamilies) {
  const auto sd = diffusion::traits(tests::tiny_pipeline().network);
  EXPECT_EQ(sd.in_channels, 4);
  EXPECT_EQ(sd.out_channels, 4);
  EXPECT_EQ(sd.sample_size, 8);
  EXPECT_EQ(sd.context_width, 8);
  EXPECT_EQ(sd.pooled_width, 0);
  EXPECT_FALSE(sd.reads_time_ids || sd.edits_images || sd.reads_reward);
  EXPECT_EQ(sd.guidance_width, 0);
  const auto xl = diffusion::traits(tests::tiny_sdxl().network);
  EXPECT_EQ(xl.pooled_width, 6);
  EXPECT_TRUE(xl.reads_time_ids);
  EXPECT_EQ(xl.context_width, 20);
  EXPECT_EQ(diffusion::traits(tests::tiny_lcm().network).guidance_width, 16);
  const auto edit = diffusion::traits(tests::tiny_ip2p().network);
  EXPECT_TRUE(edit.edits_images);
  EXPECT_EQ(edit.in_channels, 8);
}

TEST(Network, PreparedTextGivesTheSameOutputAndMayBeGathered) {
  const at::NoGradGuard no_grad;
  const Network network = tests::tiny_pipeline().network;
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor x = at::randn({3, 4, 8, 8}, generator), t = at::tensor({5, 300, 990}),
                   hidden = at::randn({2, 3, 8}, generator),
                   places = at::tensor({1, 0, 1}, at::kLong);
  const at::Tensor rows = hidden.index_select(0, places);
  const at::Tensor expected = diffusion::forward(network, x, t, rows);
  EXPECT_TRUE(at::equal(diffusion::forward(network, x, t, diffusion::prepare_text(network, rows)),
                        expected));
  const auto gathered = diffusion::select_rows(diffusion::prepare_text(network, hidden), places);
  EXPECT_TRUE(at::allclose(diffusion::forward(network, x, t, gathered), expected, 1e-5, 1e-6));
  EXPECT_THROW(diffusion::forward(network, x, t, hidden), c10::Error);
  EXPECT_THROW(diffusion::prepare_text(network, at::zeros({2, 3, 9})), c10::Error);
}

TEST(Network, ChangesReachTheNetworkItHolds) {
  Network network = tests::tiny_pipeline().network;
  std::set<std::string> all, adaptable;
  diffusion::for_each_tensor(network, "", [&](const std::string& name, at::Tensor& tensor) {
    all.insert(name);
    tensor = tensor.to(at::kDouble);
  });
  const auto each = [&](const std::string& name, auto&) { adaptable.insert(name + ".weight"); };
  diffusion::for_each_adaptable_layer(network, {each, each});
  for (const auto& name : adaptable) EXPECT_TRUE(all.contains(name)) << name;
  EXPECT_LT(adaptable.size(), all.size());
  EXPECT_EQ(diffusion::unet_of(network).conv_in.weight.scalar_type(), at::kDouble);
  diffusion::set_gradient_checkpointing(network, true);
  EXPECT_TRUE(diffusion::unet_of(network).gradient_checkpointing);
  EXPECT_EQ(diffusion::device_of(network), at::Device(at::kCPU));
  const Network half = diffusion::with_compute_dtype(network, at::kBFloat16);
  EXPECT_EQ(diffusion::unet_of(half).conv_in.weight.scalar_type(), at::kBFloat16);
  EXPECT_EQ(diffusion::unet_of(network).conv_in.weight.scalar_type(), at::kDouble);
}

Network tiny_mmdit() {
  auto generator = at::detail::createCPUGenerator(4);
  return diffusion::make_mmdit(tests::tiny_mmdit_config(), generator);
}

TEST(Network, MayBeATransformer) {
  const at::NoGradGuard no_grad;
  Network network = tiny_mmdit();
  const auto traits = diffusion::traits(network);
  EXPECT_EQ(traits.patch_size, 2);
  EXPECT_EQ(traits.context_width, 6);
  EXPECT_EQ(traits.pooled_width, 5);
  EXPECT_FALSE(traits.reads_time_ids || traits.edits_images || traits.reads_reward);
  EXPECT_EQ(diffusion::traits(tests::tiny_pipeline().network).patch_size, 1);
  EXPECT_EQ(diffusion::reward_config(network).layout, diffusion::RewardLayout::kNone);
  EXPECT_EQ(diffusion::device_of(network), at::Device(at::kCPU));
  EXPECT_THROW(diffusion::unet_of(network), c10::Error);

  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor x = at::randn({3, 4, 8, 4}, generator), t = at::tensor({5.5, 300.0, 990.0}),
                   hidden = at::randn({2, 3, 6}, generator),
                   places = at::tensor({1, 0, 1}, at::kLong);
  diffusion::ExtraConditions extra;
  extra.text_embeds = at::randn({3, 5}, generator);
  const at::Tensor expected =
      diffusion::forward(network, x, t, hidden.index_select(0, places), extra);
  EXPECT_EQ(expected.sizes(), x.sizes());
  const auto gathered = diffusion::select_rows(diffusion::prepare_text(network, hidden), places);
  EXPECT_TRUE(
      at::allclose(diffusion::forward(network, x, t, gathered, extra), expected, 1e-5, 1e-6));
  const auto other = diffusion::prepare_text(tests::tiny_pipeline().network, at::zeros({3, 3, 8}));
  EXPECT_THROW(diffusion::forward(network, x, t, other, extra), c10::Error);
}

}  // namespace
