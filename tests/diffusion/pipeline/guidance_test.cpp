#include "diffusion/pipeline/guidance.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "tests/support/tiny/edit_task.hpp"

namespace {

using diffusion::BranchInputs;
using diffusion::Conditioning;
using diffusion::GuidanceBatch;
using diffusion::Network;

// Three texts with all that the network reads beside them.
Conditioning conditioning(const Network& network) {
  auto generator = at::detail::createCPUGenerator(5);
  const auto traits = diffusion::traits(network);
  Conditioning c;
  c.text.hidden = at::randn({3, 2, traits.context_width}, generator);
  c.negative.hidden = at::randn({1, 2, traits.context_width}, generator);
  if (traits.pooled_width > 0) {
    c.text.pooled = at::randn({3, traits.pooled_width}, generator);
    c.negative.pooled = at::randn({1, traits.pooled_width}, generator);
  }
  if (traits.reads_time_ids) c.time_ids = diffusion::time_ids({}, 16, 16);
  if (traits.guidance_width > 0) c.guidance_w = at::tensor({1.0f, 2.0f, 3.0f});
  if (traits.edits_images) c.image_latents = at::randn({3, 4, 8, 8}, generator);
  if (traits.reads_reward) {
    c.reward.scores = at::randn({3, 3}, generator) + 3;
    c.reward.valid = at::ones({3, 3}, at::kBool);
  }
  return c;
}

// Rows of it, each with a negative of its own.
Conditioning rows_of(const Conditioning& c, const std::vector<int64_t>& rows) {
  const auto chosen = [&](const at::Tensor& all) {
    return all.defined() ? all.index_select(0, at::tensor(rows, at::kLong)) : all;
  };
  const auto each = [&](const at::Tensor& one) {
    return one.defined() ? one.repeat_interleave(static_cast<int64_t>(rows.size()), 0) : one;
  };
  Conditioning result = c;
  result.text = {chosen(c.text.hidden), chosen(c.text.pooled)};
  result.negative = {each(c.negative.hidden), each(c.negative.pooled)};
  result.guidance_w = chosen(c.guidance_w);
  result.image_latents = chosen(c.image_latents);
  result.reward.scores = chosen(c.reward.scores);
  result.reward.valid = chosen(c.reward.valid);
  return result;
}

TEST(BranchInputs, SharedTextsGiveTheOutputsOfSeparateOnes) {
  const at::NoGradGuard no_grad;
  auto editor = tests::tiny_editor();
  tests::unsilence(diffusion::unet_of(editor.network));
  const std::vector<int64_t> rows{2, 0, 2};
  auto generator = at::detail::createCPUGenerator(6);
  const at::Tensor x = at::randn({1, 4, 8, 8}, generator).expand({3, 4, 8, 8});
  for (const Network& network : {tests::tiny_pipeline().network, tests::tiny_sdxl().network,
                                 tests::tiny_lcm().network, editor.network}) {
    const Conditioning all = conditioning(network), own = rows_of(all, rows);
    const bool edits = diffusion::traits(network).edits_images;
    for (const GuidanceBatch branches :
         {GuidanceBatch::kPrompt,
          edits ? GuidanceBatch::kPromptImageNone : GuidanceBatch::kUnconditionalPrompt}) {
      const BranchInputs shared = diffusion::branch_inputs(network, all, branches, rows),
                         separate = diffusion::branch_inputs(network, own, branches);
      const int64_t count = diffusion::branch_count(branches);
      const at::Tensor t = at::full({3 * count}, 300.0);
      const at::Tensor got = diffusion::branch_outputs(network, x, t, shared);
      EXPECT_EQ(got.sizes(), (std::vector<int64_t>{3 * count, 4, 8, 8}));
      EXPECT_TRUE(
          at::allclose(got, diffusion::branch_outputs(network, x, t, separate), 1e-4, 1e-5));
      const at::Tensor text = got.chunk(count)[edits ? 0 : count - 1];
      EXPECT_TRUE(at::allclose(text[0], text[2], 1e-4, 1e-5));  // the same row of the conditioning
      EXPECT_FALSE(at::allclose(text[0], text[1], 1e-4, 1e-5));
    }
  }
}

TEST(BranchInputs, GuidanceIsTheCombinationOfItsBranches) {
  const at::NoGradGuard no_grad;
  const Network network = tests::tiny_pipeline().network;
  const Conditioning all = conditioning(network);
  auto generator = at::detail::createCPUGenerator(7);
  const at::Tensor x = at::randn({3, 4, 8, 8}, generator), t = at::full({6}, 300.0);
  const auto inputs =
      diffusion::branch_inputs(network, all, GuidanceBatch::kUnconditionalPrompt, {0, 1, 2});
  const auto halves = diffusion::branch_outputs(network, x, t, inputs).chunk(2);
  const at::Tensor guided = diffusion::guided_forward(network, x, t, inputs, {.scale = 3});
  EXPECT_TRUE(at::allclose(guided, halves[0] + 3 * (halves[1] - halves[0]), 1e-5, 1e-6));
  // A negative that has neither one row nor as many as the texts.
  Conditioning wrong = all;
  wrong.negative.hidden = at::zeros({2, 2, 8});
  EXPECT_THROW(diffusion::branch_inputs(network, wrong, GuidanceBatch::kUnconditionalPrompt),
               c10::Error);
}

TEST(GuidanceInput, IsTheScaleMinusOneOfANetworkThatReadsIt) {
  const Network lcm = tests::tiny_lcm().network, sd = tests::tiny_pipeline().network;
  const auto with = diffusion::with_guidance_input(lcm, conditioning(lcm), {.scale = 8});
  EXPECT_TRUE(at::equal(with.guidance_w, at::full({3}, 7.0)));
  EXPECT_FALSE(diffusion::with_guidance_input(sd, conditioning(sd), {}).guidance_w.defined());
}

}  // namespace
