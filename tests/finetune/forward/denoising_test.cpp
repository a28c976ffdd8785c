#include "finetune/forward/denoising.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/random_noise.hpp"
#include "finetune/task/guided_policy.hpp"
#include "tests/support/tiny/families.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

at::Generator seeded(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

TEST(DrawNoises, CoverTheScheduleInEqualStretches) {
  auto generator = seeded(1);
  const auto draws = finetune::draw_noises({0, 1, 2, 3}, 3, 1200, 0, generator);
  std::vector<int64_t> all;
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t s = 0; s < 3; ++s) {
      const auto t = draws.t[row][s].item<int64_t>();
      EXPECT_EQ(t / 400, s) << "a row has one draw in each of its stretches";
      all.push_back(t / 100);
    }
  }
  std::sort(all.begin(), all.end());
  for (int64_t i = 0; i < 12; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], i);
  EXPECT_EQ(std::set<uint64_t>(draws.seeds.begin(), draws.seeds.end()).size(), 12u);
  EXPECT_FALSE(draws.drops.any().item<bool>());
}

TEST(DrawNoises, AreSharedWithinAGroup) {
  auto generator = seeded(2);
  const auto draws = finetune::draw_noises({7, 9, 7}, 2, 1000, 0.5, generator);
  EXPECT_TRUE(at::equal(draws.t[0], draws.t[2]));
  EXPECT_TRUE(at::equal(draws.drops[0], draws.drops[2]));
  EXPECT_EQ(draws.seeds[0], draws.seeds[4]);
  EXPECT_NE(draws.seeds[0], draws.seeds[2]);
}

TEST(DrawNoises, DropAsManyPromptsAsAskedFor) {
  auto generator = seeded(3);
  std::vector<int64_t> groups(2000);
  for (size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<int64_t>(i);
  const auto draws = finetune::draw_noises(groups, 2, 1000, 0.1, generator);
  EXPECT_NEAR(draws.drops.to(at::kDouble).mean().item<double>(), 0.1, 0.02);
}

TEST(NoisedBatch, IsTheImageWithItsNoiseAndTheTargetOfThePrediction) {
  diffusion::SchedulerConfig scheduler;
  auto generator = seeded(4);
  const finetune::CleanImages images{at::randn({3, 2, 4, 4}, generator), {5, 6, 7}, 9};
  auto draws = finetune::draw_noises({0, 1}, 2, 1000, 0, generator);
  draws.drops[1][0] = true;
  for (const auto prediction : {diffusion::Prediction::kEpsilon, diffusion::Prediction::kV}) {
    scheduler.prediction_type = prediction;
    const auto schedule = diffusion::make_schedule(scheduler);
    const auto batch =
        finetune::noised_batch(schedule, images, draws, {{2, 1, 0}, {0, 0, 1}}, at::kCPU);
    EXPECT_EQ(batch.prompts, (std::vector<int64_t>{9, 5}));
    const auto t = draws.t[1][0].item<int64_t>();
    EXPECT_EQ(batch.t[0].item<int64_t>(), t);
    auto own = diffusion::image_generators({draws.seeds[2]});
    const at::Tensor noise = diffusion::draw_noise(own, {2, 4, 4}, at::kCPU)[0];
    const auto level = diffusion::level_at(schedule, t);
    EXPECT_TRUE(
        at::allclose(batch.x[0], level.signal * images.latents[2] + level.noise * noise, 1e-5));
    const at::Tensor target = prediction == diffusion::Prediction::kV
                                  ? level.signal * noise - level.noise * images.latents[2]
                                  : noise;
    EXPECT_TRUE(at::allclose(batch.target[0], target, 1e-5, 1e-6));
  }
}

// x = (1 - t) x0 + t epsilon, and the network says epsilon - x0, whatever the shift.
TEST(NoisedBatch, OfFlowMatchingIsOnTheLineFromTheImageToTheNoise) {
  diffusion::SchedulerConfig scheduler;
  scheduler.flow = diffusion::FlowConfig{.shift = 3};
  scheduler.prediction_type = diffusion::Prediction::kFlow;
  auto generator = seeded(4);
  const finetune::CleanImages images{at::randn({1, 2, 4, 4}, generator), {5}, 9};
  auto draws = finetune::draw_noises({0}, 1, 1000, 0, generator);
  draws.t[0][0] = 250;
  const auto batch = finetune::noised_batch(diffusion::make_schedule(scheduler), images, draws,
                                            {{0, 0, 0}}, at::kCPU);
  auto own = diffusion::image_generators({draws.seeds[0]});
  const at::Tensor noise = diffusion::draw_noise(own, {2, 4, 4}, at::kCPU)[0];
  EXPECT_EQ(batch.t[0].item<int64_t>(), 250);  // what the network is told
  EXPECT_TRUE(at::allclose(batch.x[0], 0.75 * images.latents[0] + 0.25 * noise, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(batch.target[0], noise - images.latents[0], 1e-5, 1e-6));
}

// SDXL's sizes and pooled text reach the network as in sampling without guidance.
TEST(UnguidedNetwork, IsThePolicyWithoutGuidance) {
  for (const auto& pipeline : {tests::tiny_pipeline(), tests::tiny_sdxl(), tests::tiny_lcm()}) {
    const finetune::TrainingTask task =
        finetune::make_training_task(std::make_shared<diffusion::Pipeline>(pipeline));
    const std::vector<finetune::TrainingPrompt> prompts = {"a red circle", "a blue square"};
    const auto network = finetune::unguided_network(task, task.unet, prompts, 1);
    const auto policy = finetune::policy_on(task, task.unet, {"a blue square", ""}, 1);
    auto generator = seeded(5);
    const at::Tensor x = at::randn({2, 4, 8, 8}, generator), t = at::tensor({300, 300});
    const at::NoGradGuard no_gradient;
    const at::Tensor found = network(x, t, {1, 0}), expected = policy(x, 300, {0, 1});
    EXPECT_TRUE(at::allclose(found[0], expected[0], 1e-4, 1e-5)) << pipeline.class_name;
    // The row after the prompts is what guidance starts from.
    const diffusion::TextCondition empty = finetune::unconditional(task);
    const auto inputs = diffusion::branch_inputs(
        task.unet,
        diffusion::with_guidance_input(
            task.unet, {.text = empty, .time_ids = finetune::size_conditions(task)}, {.scale = 1}),
        diffusion::GuidanceBatch::kPrompt, {0, 0});
    EXPECT_TRUE(at::allclose(network(x, t, {2, 2}),
                             diffusion::guided_forward(task.unet, x, t.to(at::kFloat), inputs, {}),
                             1e-4, 1e-5))
        << pipeline.class_name;
  }
}

}  // namespace
