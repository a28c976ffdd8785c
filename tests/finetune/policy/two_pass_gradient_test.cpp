#include "finetune/policy/two_pass_gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <numeric>

#include "data/base/error.hpp"
#include "data/train/optimizers.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"
#include "tests/support/tiny/perceptron.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

using finetune::Denoiser;
using finetune::SamplingPlan;
using finetune::StepTerms;
using finetune::StepWeights;
using finetune::Trajectories;
using tests::all_rows;
using tests::denoiser;
using tests::gradients;
using tests::in_double;
using tests::make_perceptron;
using tests::Perceptron;
using tests::prdp_loss;
using tests::require_gradients;
using tests::tiny_chain;
using tests::tiny_draw;

TEST(TwoPassGradient, EqualsTheWholeGraphWithClippingActiveInactiveAndTied) {
  const SamplingPlan chain = tiny_chain(5);
  const Denoiser reference = denoiser(make_perceptron(1));
  Perceptron w = make_perceptron(1);
  w.out = w.out * 1.05;  // the policy that drew
  const Trajectories drawn =
      in_double(finetune::rollout(denoiser(w), reference, tiny_draw(4), chain, 12));
  at::Generator generator = at::detail::createCPUGenerator(9);
  at::Tensor rewards = at::empty({12}, at::kDouble).normal_(0, 1, generator);
  rewards[1] = rewards[0];  // a tie of rewards
  for (const double moved : {0.0, 0.02, 0.5}) {
    Perceptron now = w;
    now.out = w.out * (1 + moved);
    require_gradients(now);
    const Denoiser policy = denoiser(now);
    prdp_loss(policy, drawn, chain, rewards, 0.5, 0.05).backward();
    const at::Tensor expected = gradients(now);
    for (const int64_t batch : {1, 5, 12}) {
      const at::Tensor u = finetune::log_ratios(policy, drawn, all_rows(drawn), chain, batch);
      // At the snapshot the stored log-ratios are the policy's own, up to the fp32 of the stored
      // latents.
      const at::Tensor old = drawn.log_ratio;
      const auto result = finetune::prdp_gradient(u, old, rewards, drawn.prompt_ids,
                                                  {.beta = 0.5, .clip_range = 0.05});
      EXPECT_EQ(result.statistics.clip_fraction > 0, moved > 0);
      finetune::accumulate_gradient(
          policy, drawn, all_rows(drawn), {4, 0, 2, 1, 3}, chain, batch, false,
          [&](int64_t start, int64_t step, const StepTerms& terms) {
            return StepWeights{
                result.weights.select(1, step).narrow(0, start, terms.log_ratio.size(0)), {}};
          });
      const at::Tensor found = gradients(now);
      EXPECT_LT((found - expected).norm().item<double>() / expected.norm().item<double>(), 1e-10)
          << moved << " " << batch;
    }
  }
}

// Weights of both terms of a step, and of the KL alone.
TEST(TwoPassGradient, WeighsTheStepsKl) {
  const SamplingPlan chain = tiny_chain(3);
  const Denoiser reference = denoiser(make_perceptron(1));
  Perceptron w = make_perceptron(1);
  w.out = w.out * 1.3;
  const Trajectories drawn =
      in_double(finetune::rollout(denoiser(w), reference, tiny_draw(2), chain, 6));
  require_gradients(w);
  const Denoiser policy = denoiser(w);
  at::Generator generator = at::detail::createCPUGenerator(5);
  const at::Tensor of_ratio = at::empty({6, 3}, at::kDouble).normal_(0, 1, generator),
                   of_kl = at::empty({6, 3}, at::kDouble).normal_(0, 1, generator);
  for (const bool both : {true, false}) {
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (int64_t k = 0; k < 3; ++k) {
      const auto at_step = static_cast<size_t>(k);
      const auto& step = chain.steps[at_step];
      const at::Tensor x = drawn.latents[at_step], next = drawn.latents[at_step + 1],
                       from = drawn.reference_means[at_step];
      const at::Tensor mean =
          diffusion::ddim_log_prob(step, chain.prediction,
                                   policy(x, step.timestep, drawn.prompt_ids), x, next)
              .mean;
      const at::Tensor kl =
          (mean - from).square().flatten(1).sum(1) / (2 * step.sigma * step.sigma);
      loss = loss + kl.dot(of_kl.select(1, k));
      if (both)
        loss = loss + diffusion::log_ratio(mean, from, next, step.sigma).dot(of_ratio.select(1, k));
    }
    loss.backward();
    const at::Tensor expected = gradients(w);
    finetune::accumulate_gradient(
        policy, drawn, all_rows(drawn), {2, 0, 1}, chain, 4, true,
        [&](int64_t start, int64_t step, const StepTerms& now) {
          EXPECT_FALSE(now.kl.requires_grad());
          const auto rows = [&](const at::Tensor& all) {
            return all.select(1, step).narrow(0, start, now.kl.size(0));
          };
          return StepWeights{both ? rows(of_ratio) : at::Tensor(), rows(of_kl)};
        });
    const at::Tensor found = gradients(w);
    EXPECT_LT((found - expected).norm().item<double>() / expected.norm().item<double>(), 1e-10)
        << both;
  }
}

TEST(TwoPassGradient, DoesNotDependOnTheOrderOfTheTrajectories) {
  const SamplingPlan chain = tiny_chain(4);
  Perceptron w = make_perceptron(2);
  require_gradients(w);
  const Denoiser policy = denoiser(w);
  const Trajectories drawn =
      in_double(finetune::rollout(policy, denoiser(make_perceptron(3)), tiny_draw(3), chain, 9));
  const auto run = [&](const std::vector<int64_t>& rows) {
    finetune::accumulate_gradient(
        policy, drawn, rows, {0, 1, 2, 3}, chain, 4, false,
        [&](int64_t start, int64_t step, const StepTerms& now) {
          const int64_t count = now.log_ratio.size(0);
          at::Tensor weights = at::empty({count}, at::kDouble);
          for (int64_t i = 0; i < count; ++i)
            weights[i] = static_cast<double>(rows[static_cast<size_t>(start + i)] - 4) *
                         (1.0 + static_cast<double>(step));
          return StepWeights{weights, {}};
        });
    return gradients(w);
  };
  EXPECT_TRUE(at::allclose(run({0, 1, 2, 3, 4, 5, 6, 7, 8}), run({5, 3, 8, 0, 2, 7, 1, 6, 4}),
                           1e-10, 1e-12));
}

TEST(Rollout, LogRatioIsZeroAgainstItselfAndItsMeanIsTheKl) {
  const SamplingPlan chain = tiny_chain(3);
  const Denoiser policy = denoiser(make_perceptron(4));
  const Trajectories alone = finetune::rollout(policy, {}, tiny_draw(2), chain, 6);
  EXPECT_EQ(alone.log_ratio.abs().max().item<double>(), 0);
  EXPECT_EQ(alone.kl.abs().max().item<double>(), 0);
  ASSERT_EQ(alone.latents.size(), 4u);
  for (const auto& latents : alone.latents)
    EXPECT_EQ(latents.sizes(), (std::vector<int64_t>{6, 1, 2, 2}));
  Perceptron near = make_perceptron(4);
  near.out = near.out * 1.2;
  const Trajectories many = finetune::rollout(policy, denoiser(near), tiny_draw(1000), chain, 3000);
  const double kl = many.kl.sum(1).mean().item<double>(),
               estimate = many.log_ratio.sum(1).mean().item<double>();
  const double error = many.log_ratio.sum(1).std(0, false).item<double>() / std::sqrt(3000.0);
  EXPECT_GT(kl, 10 * error);
  EXPECT_NEAR(estimate, kl, 4 * error);
}

TEST(Rollout, AnImageDependsOnItsOwnSeedAndPromptAlone) {
  const SamplingPlan chain = tiny_chain(3);
  const Denoiser policy = denoiser(make_perceptron(4));
  const Trajectories all = finetune::rollout(policy, {}, tiny_draw(2), chain, 6);
  const Trajectories one = finetune::rollout(
      policy, {}, {.prompt_ids = {1}, .seeds = {103}, .noise_seeds = {}}, chain, 1);
  for (size_t k = 0; k < 4; ++k)
    EXPECT_TRUE(at::allclose(one.latents[k][0], all.latents[k][3], 1e-6, 1e-7));
  finetune::SampleRequests shared = tiny_draw(2);
  shared.noise_seeds = {7, 7, 8, 8, 9, 9};
  const Trajectories start = finetune::rollout(policy, {}, shared, chain, 6);
  EXPECT_TRUE(at::equal(start.latents[0][0], start.latents[0][1]));
  EXPECT_FALSE(at::equal(start.latents[1][0], start.latents[1][1]));
}

// A UNet small enough for a test, adapters included.
diffusion::Network tiny_unet() {
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_unet(tests::tiny_unet_config(), generator);
}
diffusion::Conditioning tiny_conditioning() {
  auto generator = at::detail::createCPUGenerator(2);
  return {.text = {at::empty({3, 5, 8}).normal_(0, 1, generator), {}},
          .negative = {at::empty({1, 5, 8}).normal_(0, 1, generator), {}}};
}
Denoiser tiny_policy(const diffusion::Network& unet, double scale = 3) {
  return finetune::guided_policy(unet, tiny_conditioning(), {.scale = scale});
}

TEST(Replay, IsExactAtTheSameBatchSizeAndFarInsideTheClipRangeAtOthers) {
  const SamplingPlan chain = tiny_chain(4, {4, 8, 8});
  const diffusion::Network reference = tiny_unet();
  diffusion::Network unet = reference;
  const auto params = train::parameters_of(unet, "");
  for (const auto& param : params) param.value.detach().mul_(1.02);
  const Denoiser policy = tiny_policy(unet);
  const Trajectories drawn =
      finetune::rollout(policy, tiny_policy(reference), tiny_draw(2), chain, 3);
  EXPECT_GT(drawn.kl.sum().item<double>(), 1e-6);
  EXPECT_EQ(finetune::replay_drift(policy, drawn, 6, chain, 3), 0.0);
  EXPECT_LT(finetune::replay_drift(policy, drawn, 6, chain, 2), 1e-3);
  EXPECT_LT(finetune::replay_drift(policy, drawn, 6, chain, 6), 1e-3);
  // A wrong replay is seen: another guidance scale.
  EXPECT_GT(finetune::replay_drift(tiny_policy(unet, 4), drawn, 6, chain, 3), 0.02);
}

TEST(GuidedDenoiser, EqualsTheTwoHalvesApartAndSkipsTheUnusedOne) {
  const at::NoGradGuard no_gradient;
  const diffusion::Network unet = tiny_unet();
  const diffusion::Conditioning conditioning = tiny_conditioning();
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor x = at::empty({2, 4, 8, 8}).normal_(0, 1, generator),
                   t = at::full({2}, 500, at::kLong);
  const at::Tensor rows = at::tensor({2, 0}, at::kLong);
  const at::Tensor cond =
      diffusion::forward(unet, x, t, conditioning.text.hidden.index_select(0, rows));
  const at::Tensor uncond =
      diffusion::forward(unet, x, t, conditioning.negative.hidden.expand({2, 5, 8}));
  const at::Tensor expected = uncond + 3.0 * (cond - uncond);
  EXPECT_TRUE(at::allclose(tiny_policy(unet)(x, 500, {2, 0}), expected, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(tiny_policy(unet, 1)(x, 500, {2, 0}), cond, 1e-5, 1e-6));
}

// A public trainer lets no gradient through the half without the prompt.
TEST(GuidedDenoiser, BothHalvesHaveAGradient) {
  diffusion::Network unet = tiny_unet();
  const auto params = train::parameters_of(unet, "");
  const at::Tensor x = at::full({1, 4, 8, 8}, 0.3);
  // d mean output / d parameters at this guidance scale. Scale 1 is the prompt's half, and at scale
  // w the whole is (w - 1) times the other's gradient away from w times that.
  const auto gradient = [&](double scale) {
    train::zero_grad(params);
    tiny_policy(unet, scale)(x, 500, {1}).mean().backward();
    std::vector<at::Tensor> parts;
    for (const auto& param : params) {
      const at::Tensor& grad = param.value.grad();
      parts.push_back(grad.defined() ? grad.flatten() : at::zeros({param.value.numel()}));
    }
    return at::cat(parts).to(at::kDouble);
  };
  const at::Tensor prompt = gradient(1), at_two = gradient(2), at_four = gradient(4);
  const at::Tensor other = 2 * prompt - at_two;  // g(w) = w prompt - (w - 1) other
  EXPECT_GT(other.norm().item<double>(), 0.1 * prompt.norm().item<double>());
  EXPECT_LT((at_four - (4 * prompt - 3 * other)).norm().item<double>(),
            1e-3 * at_four.norm().item<double>());
}

// Follows what a thread allocates.
struct Ledger : c10::MemoryReportingInfoBase {
  int64_t now = 0, peak = 0;
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    peak = std::max(peak, now += size);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

int64_t peak_of_gradient(int64_t steps) {
  const SamplingPlan chain = tiny_chain(steps, {4, 8, 8});
  diffusion::Network unet = tiny_unet();
  const auto params = train::parameters_of(unet, "");
  const Denoiser policy = tiny_policy(unet);
  const Trajectories drawn = finetune::rollout(policy, {}, tiny_draw(2), chain, 6);
  std::vector<int64_t> order(static_cast<size_t>(steps));
  std::iota(order.begin(), order.end(), 0);
  const auto ledger = std::make_shared<Ledger>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, ledger);
  finetune::accumulate_gradient(policy, drawn, all_rows(drawn), order, chain, 6, false,
                                [](int64_t, int64_t, const StepTerms& now) {
                                  return StepWeights{at::ones_like(now.log_ratio), {}};
                                });
  return ledger->peak;
}

TEST(TwoPassGradient, MemoryIsFlatInTheNumberOfSteps) {
  peak_of_gradient(2);  // what is allocated once
  const int64_t few = peak_of_gradient(2), many = peak_of_gradient(12);
  EXPECT_GT(few, 100000);
  EXPECT_LT(many, few + few / 50) << few << " " << many;
}

TEST(MakeChain, LeavesOutTheStepThatAloneWouldDecide) {
  finetune::FinetuneConfig config;
  for (const int64_t steps : {10, 20, 50}) {
    config.sample_num_steps = steps;
    const SamplingPlan chain = finetune::make_sampling_plan(config, {}, {4, 8, 8}, at::kCPU);
    EXPECT_EQ(chain.mask[steps - 2].item<double>(), 0) << steps;  // it lands at timestep 1
    EXPECT_EQ(chain.mask[0].item<double>(), 1) << steps;
    EXPECT_GE(finetune::active_steps(chain), steps - 2);
  }
}

TEST(MakeChain, MasksStepsAndRefusesAnEmptyObjective) {
  finetune::FinetuneConfig config;
  config.sigma_min = 0.1;
  config.skip_sharp_steps = false;
  config.sample_num_steps = 4;
  config.skip_steps = {2};
  const SamplingPlan chain = finetune::make_sampling_plan(config, {}, {4, 8, 8}, at::kCPU);
  EXPECT_EQ(finetune::active_steps(chain), 3);
  EXPECT_EQ(finetune::latent_dimensions(chain), 256);
  for (const auto& step : chain.steps) EXPECT_GE(step.sigma, config.sigma_min);
  config.skip_steps = {4};
  EXPECT_THROW(finetune::make_sampling_plan(config, {}, {4, 8, 8}, at::kCPU), data::BadInput);
  config.skip_steps = {};
  config.sample_eta = 0;
  config.sigma_min = 0;
  EXPECT_THROW(finetune::make_sampling_plan(config, {}, {4, 8, 8}, at::kCPU), data::BadInput);
}

}  // namespace
