#include "finetune/policy/tree.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <limits>

#include "finetune/policy/methods/grpo_loss.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"
#include "finetune/policy/two_pass_gradient.hpp"
#include "finetune/policy/update.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/perceptron.hpp"

namespace {

using finetune::BranchSizes;
using finetune::Denoiser;
using finetune::FinetuneConfig;
using finetune::SamplingPlan;
using finetune::Trajectories;
using tests::denoiser;
using tests::make_perceptron;
using tests::Perceptron;

FinetuneConfig tree_config(const std::vector<int64_t>& branch, int64_t steps, int64_t images) {
  FinetuneConfig config;
  config.branch = branch;
  config.sample_num_steps = steps;
  config.images_per_prompt = images;
  return config;
}

// Of three prompts.
finetune::SampleRequests tree_draw(const std::vector<int64_t>& branch,
                                   int64_t steps,
                                   int64_t images) {
  finetune::SampleRequests draw = tests::tiny_draw(images);
  draw.branch_sizes = finetune::branch_sizes(tree_config(branch, steps, images));
  return draw;
}

// A policy that counts its calls' rows.
struct Counted {
  int64_t rows = 0, most = 0;
};
Denoiser counted(const Denoiser& policy, Counted& counts) {
  return [&counts, policy](const at::Tensor& x, double t, const std::vector<int64_t>& prompts) {
    counts.rows += x.size(0);
    counts.most = std::max(counts.most, x.size(0));
    return policy(x, t, prompts);
  };
}

// The same chains, each image's stored apart.
Trajectories apart(Trajectories t) {
  for (size_t k = t.branch_sizes.size(); k-- > 0;) {
    const int64_t size = t.branch_sizes[k];
    t.latents[k + 1] = finetune::of_images(t.latents[k + 1], size);
    t.reference_means[k] = finetune::of_images(t.reference_means[k], size);
  }
  t.latents[0] = finetune::of_images(t.latents[0], t.branch_sizes[0]);
  t.branch_sizes.assign(t.branch_sizes.size(), 1);
  return t;
}

TEST(Tree, TheBranchesOfEachStepByHand) {
  const auto sizes = [](const std::vector<int64_t>& branch, int64_t images) {
    return finetune::branch_sizes(tree_config(branch, 10, images));
  };
  EXPECT_EQ(sizes({0, 3, 6}, 8), (BranchSizes{4, 4, 4, 2, 2, 2, 1, 1, 1, 1}));
  EXPECT_EQ(sizes({0, 5}, 12), (BranchSizes{2, 2, 2, 2, 2, 1, 1, 1, 1, 1}));
  EXPECT_EQ(sizes({4}, 8), (BranchSizes{8, 8, 8, 8, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(sizes({0}, 8), BranchSizes(10, 1));
  EXPECT_EQ(sizes({}, 7), BranchSizes(10, 1));
  EXPECT_EQ(finetune::transitions(sizes({}, 8), 8), 80);
  EXPECT_EQ(finetune::transitions(sizes({0, 3, 6}, 8), 8), 50);  // 2 x 3 + 4 x 3 + 8 x 4
  EXPECT_EQ(finetune::transitions(sizes({0, 3, 6}, 8), 24), 150);
  EXPECT_EQ(finetune::transitions(sizes({0, 5}, 8), 8), 60);
  EXPECT_EQ(finetune::transitions(sizes({4}, 8), 8), 52);  // 4 + 8 x 6
}

TEST(Tree, RefusesWhatIsNoTree) {
  const auto refused = [](const std::vector<int64_t>& branch, int64_t images) {
    return refusal([&] { finetune::branch_sizes(tree_config(branch, 10, images)); });
  };
  EXPECT_EQ(
      refused({3, 0}, 8),
      "branch: expected at most 16 steps from 0 to 9 (sample_num_steps), ascending, found 3,0");
  for (const auto& branch : std::vector<std::vector<int64_t>>{{0, 0}, {-1}, {0, 10}})
    EXPECT_NE(refused(branch, 8), "");
  EXPECT_EQ(refused({0, 3, 6}, 6),
            "images_per_prompt: expected a multiple of 4 that is at least 8 (--branch 0,3,6 splits "
            "every branch in two at each step after the first), found 6");
  EXPECT_NE(refused({0, 3, 6}, 4), "");
  EXPECT_EQ(refused({0, 3, 6}, 16), "");
  FinetuneConfig config = tree_config({2}, 10, 8);
  config.share_noise = true;
  EXPECT_NE(refusal([&] { finetune::branch_sizes(config); }).find("leave it out"),
            std::string::npos);
  config.branch = {0, 2};
  EXPECT_EQ(refusal([&] { finetune::branch_sizes(config); }), "");
}

// Stable Diffusion's last step of DDIM without a floor of its noise, on a scheduler that ends at
// nothing.
TEST(Tree, RefusesToPartAtAStepWithoutNoise) {
  FinetuneConfig config = tree_config({0, 3}, 4, 4);
  diffusion::SchedulerConfig scheduler;
  scheduler.set_alpha_to_one = true;
  scheduler.steps_offset = 0;
  const auto made = [&] { finetune::make_sampling_plan(config, scheduler, {1, 2, 2}, at::kCPU); };
  EXPECT_EQ(refusal(made),
            "branch: expected steps with noise, found 3, whose sigma is 0: images that part there "
            "would be equal; leave it out, or raise sigma_min");
  config.branch = {0, 2};
  EXPECT_EQ(refusal(made), "");
}

TEST(Tree, RowsOfBranchesAndImagesByHand) {
  const at::Tensor x = at::arange(6, at::kDouble);
  EXPECT_TRUE(at::equal(finetune::first_of_branch(x, 2), at::tensor({0., 2., 4.})));
  EXPECT_TRUE(
      at::equal(finetune::of_images(x.narrow(0, 0, 2), 3), at::tensor({0., 0., 0., 1., 1., 1.})));
  EXPECT_TRUE(at::equal(finetune::branch_sums(x, 3), at::tensor({3., 12.})));
  EXPECT_TRUE(finetune::branch_sums(x, 1).is_same(x));
}

TEST(Tree, EdgeAdvantagesOfFourLeavesByHand) {
  const at::Tensor labels = at::tensor({3.0, 1.0, -3.0, -1.0}, at::kDouble),
                   all = at::ones({4}, at::kBool);
  // Branches {0, 1} and {2, 3} part at step 0, their images at step 1. Means 2 and -2.
  const at::Tensor tree = finetune::edge_advantages(labels, all, {2, 1, 1});
  EXPECT_TRUE(at::equal(tree.select(1, 0), at::tensor({2., 2., -2., -2.}))) << tree;
  for (const int64_t step : {1, 2})
    EXPECT_TRUE(at::equal(tree.select(1, step), at::tensor({1., -1., -1., 1.}))) << tree;
  // A trunk has nothing to be compared with: its mean, here 0.
  const at::Tensor trunk = finetune::edge_advantages(labels + 1, all, {4, 1});
  EXPECT_TRUE(at::equal(trunk.select(1, 0), at::ones({4}, at::kDouble))) << trunk;
  EXPECT_TRUE(at::equal(trunk.select(1, 1), labels)) << trunk;
  // Without branches, the labels themselves.
  EXPECT_TRUE(
      at::equal(finetune::edge_advantages(labels + 1, all, {1, 1}).select(1, 1), labels + 1));
}

TEST(Tree, AnImageThatDoesNotCountIsNoPartOfAMean) {
  const at::Tensor labels = at::tensor({3.0, 0.0, -3.0, -1.0}, at::kDouble);
  at::Tensor counted = at::tensor({1.0, 0.0, 1.0, 1.0}).gt(0);
  at::Tensor edges = finetune::edge_advantages(labels, counted, {2, 1});
  EXPECT_TRUE(at::equal(edges.select(1, 0), at::tensor({3., 3., -2., -2.}))) << edges;
  EXPECT_TRUE(at::equal(edges.select(1, 1), at::tensor({0., 0., -1., 1.}))) << edges;
  counted[0] = false;
  edges = finetune::edge_advantages(labels, counted, {2, 1});
  EXPECT_TRUE(at::equal(edges.narrow(0, 0, 2), at::zeros({2, 2}, at::kDouble))) << edges;
}

TEST(Tree, OneSplitAtTheStartIsTheFlatRolloutBitForBit) {
  const SamplingPlan chain = tests::tiny_chain(4);
  const Denoiser policy = denoiser(make_perceptron(4)), reference = denoiser(make_perceptron(5));
  for (const int64_t batch : {5, 12}) {
    const auto flat = finetune::rollout(policy, reference, tests::tiny_draw(4), chain, batch),
               tree = finetune::rollout(policy, reference, tree_draw({0}, 4, 4), chain, batch);
    for (size_t k = 0; k < flat.latents.size(); ++k)
      EXPECT_TRUE(at::equal(flat.latents[k], tree.latents[k])) << k;
    for (size_t k = 0; k < flat.reference_means.size(); ++k)
      EXPECT_TRUE(at::equal(flat.reference_means[k], tree.reference_means[k])) << k;
    EXPECT_TRUE(at::equal(flat.log_ratio, tree.log_ratio));
    EXPECT_TRUE(at::equal(flat.kl, tree.kl));
  }
}

// The first image of a branch has the noise of the flat rollout. An image shares the chain until it
// parts from another one.
TEST(Tree, ImagesShareTheirChainsUntilTheyPart) {
  const SamplingPlan chain = tests::tiny_chain(10);
  const Denoiser policy = denoiser(make_perceptron(4)), reference = denoiser(make_perceptron(5));
  const auto flat = finetune::rollout(policy, reference, tests::tiny_draw(8), chain, 24);
  for (const int64_t batch : {3, 8, 24}) {
    const auto stored =
        finetune::rollout(policy, reference, tree_draw({0, 3, 6}, 10, 8), chain, batch);
    EXPECT_EQ(stored.latents[0].size(0), 6);
    EXPECT_EQ(stored.latents[3].size(0), 6);
    EXPECT_EQ(stored.latents[4].size(0), 12);
    EXPECT_EQ(stored.reference_means[5].size(0), 12);
    EXPECT_EQ(stored.reference_means[6].size(0), 24);
    EXPECT_TRUE(at::equal(finetune::final_latents(stored), stored.latents[10]));
    const Trajectories tree = apart(stored);
    for (size_t k = 0; k <= 10; ++k) {
      for (const int64_t first : {0, 4, 8, 20})  // of a tree
        EXPECT_TRUE(at::allclose(tree.latents[k][first], flat.latents[k][first], 1e-5, 1e-6));
      EXPECT_EQ(at::equal(tree.latents[k][0], tree.latents[k][1]), k <= 6) << k;
      EXPECT_EQ(at::equal(tree.latents[k][0], tree.latents[k][2]), k <= 3) << k;
      EXPECT_FALSE(at::equal(tree.latents[k][0], tree.latents[k][4])) << k;
    }
    EXPECT_TRUE(at::equal(tree.log_ratio[0].narrow(0, 0, 6), tree.log_ratio[1].narrow(0, 0, 6)));
    EXPECT_NE(tree.log_ratio[0][6].item<double>(), tree.log_ratio[1][6].item<double>());
    // An image's KL is the sum over its path, shared or not.
    const auto kl = tests::chain_terms(policy, tree, chain).kl;
    EXPECT_TRUE(at::allclose(tree.kl, kl, 1e-4, 1e-6));
  }
}

TEST(Tree, ARolloutRefusesBranchesThatDoNotFit) {
  const SamplingPlan chain = tests::tiny_chain(3);
  const Denoiser policy = denoiser(make_perceptron(4));
  finetune::SampleRequests draw = tests::tiny_draw(3);  // nine images
  for (const auto& sizes : std::vector<BranchSizes>{{1, 1}, {2, 1, 1}, {3, 2, 1}, {3, 3, 3}}) {
    draw.branch_sizes = sizes;
    EXPECT_THROW(finetune::rollout(policy, {}, draw, chain, 9), c10::Error);
  }
  draw.branch_sizes = {9, 3, 1};
  EXPECT_EQ(finetune::rollout(policy, {}, draw, chain, 9).latents[0].size(0), 1);
}

TEST(Tree, EveryTransitionPassesTheNetworksOnce) {
  const SamplingPlan chain = tests::tiny_chain(10);
  for (const int64_t batch : {1, 3, 24}) {
    Counted policy, reference;
    const Denoiser counting = counted(denoiser(make_perceptron(4)), policy);
    const auto drawn = finetune::rollout(counting, counted(denoiser(make_perceptron(5)), reference),
                                         tree_draw({0, 3, 6}, 10, 8), chain, batch);
    EXPECT_EQ(policy.rows, 3 * 50);
    EXPECT_EQ(reference.rows, 3 * 50);
    EXPECT_LE(policy.most, batch);
    policy = {};
    const at::Tensor u =
        finetune::log_ratios(counting, drawn, tests::all_rows(drawn), chain, batch);
    EXPECT_EQ(policy.rows, 3 * 50);
    EXPECT_TRUE(at::allclose(u, drawn.log_ratio, 1e-3, 1e-4));
    EXPECT_LT(finetune::replay_drift(counting, drawn, 24, chain, batch), 1e-3);
    policy = {};
    finetune::accumulate_gradient(
        counting, drawn, tests::all_rows(drawn), finetune::unmasked_steps(chain), chain, batch,
        false,
        [](int64_t, int64_t, const finetune::StepTerms&) { return finetune::StepWeights{}; });
    EXPECT_EQ(policy.rows, 3 * 50);
    EXPECT_LE(policy.most, batch);
  }
}

// What the gradient tests share: a policy moved away from the one that drew.
struct Moved {
  SamplingPlan chain = tests::tiny_chain(6);
  Trajectories drawn;
  Perceptron now;
  at::Tensor rewards;  // [24]
  train::Params params;
};
Moved make_moved(double distance) {
  Moved moved;
  Perceptron drew = make_perceptron(1);
  drew.out = drew.out * 1.05;
  moved.drawn = tests::in_double(finetune::rollout(denoiser(drew), denoiser(make_perceptron(1)),
                                                   tree_draw({0, 2, 4}, 6, 8), moved.chain, 24));
  moved.now = drew;
  moved.now.out = drew.out * (1 + distance);
  tests::require_gradients(moved.now);
  moved.params = {{"in", moved.now.in},
                  {"time", moved.now.time},
                  {"prompt", moved.now.prompt},
                  {"out", moved.now.out}};
  at::Generator generator = at::detail::createCPUGenerator(9);
  moved.rewards = at::empty({24}, at::kDouble).normal_(0, 1, generator);
  moved.rewards[1] = moved.rewards[0];  // a tie
  return moved;
}
double difference(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).norm().item<double>() / expected.norm().item<double>();
}

// With the log-ratios of the policy as it is now: clipping is tied.
TEST(Tree, PrdpsGradientIsThatOfTheWholeGraph) {
  for (const int64_t batch : {5, 24}) {
    Moved moved = make_moved(0.02);
    const Denoiser policy = denoiser(moved.now);
    moved.drawn.log_ratio =
        finetune::log_ratios(policy, moved.drawn, tests::all_rows(moved.drawn), moved.chain, batch);
    tests::prdp_loss(policy, apart(moved.drawn), moved.chain, moved.rewards, 0.5, 0.05).backward();
    const at::Tensor expected = tests::gradients(moved.now);
    FinetuneConfig config;
    config.method = finetune::policy_method("prdp");
    config.train_batch_size = batch;
    const at::Tensor found = finetune::first_gradient(
        {policy, moved.drawn, moved.rewards, moved.chain, 0.5, 0.05, finetune::whole(24)}, config,
        moved.params);
    EXPECT_LT(difference(found, expected), 1e-10) << batch;
  }
}

// With other log-ratios than those drawn: clipping is active. The weights are those of all images'
// steps, and add up over a branch.
TEST(Tree, PrdpsClippedGradientIsThatOfTheWholeGraph) {
  for (const int64_t batch : {5, 24}) {
    Moved moved = make_moved(0.5);
    const Denoiser policy = denoiser(moved.now);
    tests::prdp_loss(policy, apart(moved.drawn), moved.chain, moved.rewards, 0.5, 0.05).backward();
    const at::Tensor expected = tests::gradients(moved.now);
    const auto rows = tests::all_rows(moved.drawn);
    const auto result = finetune::prdp_gradient(
        finetune::log_ratios(policy, moved.drawn, rows, moved.chain, batch), moved.drawn.log_ratio,
        moved.rewards, moved.drawn.prompt_ids, {.beta = 0.5, .clip_range = 0.05});
    EXPECT_GT(result.statistics.clip_fraction, 0);
    finetune::accumulate_gradient(
        policy, moved.drawn, rows, {4, 0, 2, 1, 3, 5}, moved.chain, batch, false,
        [&](int64_t first, int64_t step, const finetune::StepTerms& terms) {
          const int64_t size = moved.drawn.branch_sizes[static_cast<size_t>(step)];
          return finetune::StepWeights{finetune::branch_sums(result.weights.select(1, step), size)
                                           .narrow(0, first, terms.log_ratio.size(0)),
                                       {}};
        });
    EXPECT_LT(difference(tests::gradients(moved.now), expected), 1e-10) << batch;
  }
}

// The mean over all images and steps, each with its edge's advantage, and the exact KL of each.
TEST(Tree, GrposGradientIsThatOfTheWholeGraph) {
  constexpr double kClip = 0.1, kKl = 0.3;
  for (const int64_t batch : {5, 24}) {
    Moved moved = make_moved(0.1);
    moved.rewards[6] = std::numeric_limits<double>::quiet_NaN();
    const Denoiser policy = denoiser(moved.now);
    FinetuneConfig config;
    config.method = finetune::grpo_method({.kl_coefficient = kKl});
    config.train_batch_size = batch;
    const at::Tensor labels = config.method.labels(moved.rewards, moved.drawn.prompt_ids),
                     edges = finetune::edge_advantages(labels, moved.rewards.isfinite(),
                                                       moved.drawn.branch_sizes);
    const auto terms = tests::chain_terms(policy, apart(moved.drawn), moved.chain);
    const at::Tensor ratio = (terms.log_ratio - moved.drawn.log_ratio).exp();
    const at::Tensor clipped = ratio.clamp(1 - kClip, 1 + kClip);
    EXPECT_TRUE(clipped.ne(ratio).any().item<bool>());
    (at::maximum(-edges * ratio, -edges * clipped).mean() + kKl * terms.kl.mean()).backward();
    const at::Tensor expected = tests::gradients(moved.now);
    const at::Tensor found = finetune::first_gradient(
        {policy, moved.drawn, moved.rewards, moved.chain, 0.5, kClip, finetune::whole(24)}, config,
        moved.params);
    EXPECT_LT(difference(found, expected), 1e-10) << batch;
  }
}

}  // namespace
