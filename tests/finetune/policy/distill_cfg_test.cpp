// The distillation of guidance as a run of the policy-gradient trainer.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "finetune/estimate/forecast.hpp"
#include "finetune/policy/methods/distill_cfg_loss.hpp"
#include "finetune/policy/trainer.hpp"
#include "finetune/policy/update.hpp"
#include "rewards/combine/diversity.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/tiny/run.hpp"
#include "tools/cli/run_in_ranks.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::Denoiser;
using finetune::FinetuneConfig;
using finetune::Trajectories;

// How far the pixels of a prompt's images lie apart.
rewards::Reward pixel_diversity() {
  return {.info = {.name = "apart", .compares_images = true},
          .score = {},
          .group = rewards::GroupScore{
              .width = 3 * 8 * 8,
              .features = [](const rewards::RewardBatch& batch) { return batch.images.flatten(1); },
              .score = rewards::image_diversity}};
}

finetune::TrainingTask diverse_task() {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards = {{pixel_diversity(), 1.0}};
  return task;
}

FinetuneConfig distill_config(const finetune::DistillCfgConfig& objective) {
  FinetuneConfig config = tests::tiny_config();
  config.method = finetune::distill_cfg_method(objective);
  config.sample_guidance_scale = 1;
  return config;
}

finetune::RunResult run(const FinetuneConfig& config,
                        const fs::path& folder,
                        const std::string& resume = "",
                        const finetune::ProcessGroup& ranks = {}) {
  auto options = tests::run_options(folder, config.method.name, config.seed, resume);
  options.ranks = ranks;
  return finetune::run_finetune(diverse_task(), config, options, {});
}

// A policy of two numbers: tanh(slope x + shift t / 1000), in fp64.
struct TwoNumbers {
  at::Tensor slope, shift;
};
Denoiser denoiser_of(const TwoNumbers& w) {
  return [w](const at::Tensor& x, double timestep, const std::vector<int64_t>&) {
    return (w.slope * x.to(at::kDouble) + w.shift * (timestep / 1000)).tanh().to(x.scalar_type());
  };
}
TwoNumbers numbers(double slope, double shift) {
  return {at::scalar_tensor(slope, at::kDouble).requires_grad_(true),
          at::scalar_tensor(shift, at::kDouble).requires_grad_(true)};
}

// The whole graph: the distance at every step, and PPO's clipped ratio where the chain has one.
at::Tensor whole_loss(const Denoiser& policy,
                      const Trajectories& drawn,
                      const finetune::SamplingPlan& chain,
                      const at::Tensor& advantages,
                      double scale,
                      double clip) {
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (int64_t k = 0; k < chain.mask.size(0); ++k) {
    const auto at_step = static_cast<size_t>(k);
    const auto& step = chain.steps[at_step];
    const at::Tensor x = drawn.latents[at_step], next = drawn.latents[at_step + 1];
    const at::Tensor output = policy(x, step.timestep, drawn.prompt_ids);
    loss = loss + (output - drawn.targets[at_step]).square().sum();
    if (chain.mask[k].item<double>() == 0) continue;
    const at::Tensor mean = diffusion::ddim_log_prob(step, chain.prediction, output, x, next).mean;
    const at::Tensor u =
        diffusion::log_ratio(mean, drawn.reference_means[at_step], next, step.sigma);
    const at::Tensor ratio = (u - drawn.log_ratio.select(1, k)).exp();
    loss =
        loss +
        scale *
            at::maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)).sum();
  }
  return loss / static_cast<double>(drawn.latents[0].size(0) * chain.mask.size(0));
}

// Three images of each of two prompts, drawn by one policy, with the outputs of another as targets.
Trajectories some_trajectories(const finetune::SamplingPlan& chain) {
  finetune::SampleRequests draw;
  for (uint64_t i = 0; i < 6; ++i) {
    draw.prompt_ids.push_back(i < 3 ? 0 : 1);
    draw.seeds.push_back(50 + i);
  }
  return finetune::rollout(denoiser_of(numbers(0.5, 0.1)), {}, draw, chain, 6,
                           denoiser_of(numbers(0.9, -0.2)));
}

TEST(DistillCfg, TheGradientEqualsThatOfTheWholeGraph) {
  constexpr double kScale = 0.3, kClip = 0.02;
  FinetuneConfig config = distill_config({.diversity_scale = kScale});
  config.sample_num_steps = 4;
  config.skip_steps = {1};  // without a log-ratio, and imitated all the same
  config.train_batch_size = 4;
  const auto chain = finetune::make_sampling_plan(config, {}, {1, 2, 2}, at::kCPU);
  Trajectories drawn = some_trajectories(chain);
  for (auto* steps : {&drawn.latents, &drawn.reference_means, &drawn.targets}) {
    for (at::Tensor& stored : *steps) stored = stored.to(at::kDouble);
  }
  const at::Tensor rewards = at::tensor({0.1, 0.5, 0.3, 0.9, 0.2, 0.25}, at::kDouble);
  const at::Tensor advantages = config.method.labels(rewards, drawn.prompt_ids);
  for (const double moved : {0.0, 0.3}) {  // the drawing policy's, and one whose ratio is clipped
    const TwoNumbers w = numbers(0.5 + moved, 0.1);
    const Denoiser policy = denoiser_of(w);
    whole_loss(policy, drawn, chain, advantages, kScale, kClip).backward();
    const at::Tensor expected = at::stack({w.slope.grad(), w.shift.grad()});
    const at::Tensor found =
        finetune::first_gradient({policy, drawn, rewards, chain, 1, kClip, finetune::whole(6)},
                                 config, {{"slope", w.slope}, {"shift", w.shift}});
    EXPECT_LT((found - expected).norm().item<double>(), 1e-10 * expected.norm().item<double>())
        << found << expected;
  }
}

TEST(DistillCfg, AtScaleOneThereIsNothingToLearnAtTheStart) {
  FinetuneConfig config = distill_config({.guidance_scale = 1, .diversity_scale = 0});
  config.num_epochs = 1;
  config.train_full = true;  // a LoRA that changes nothing is refused
  const fs::path folder = tests::fresh_folder();
  run(config, folder);
  const auto line = tests::metrics(folder, false).at(0);
  EXPECT_LT(line["imitation"].get<double>(), 1e-10);
  EXPECT_LT(line["grad_norm"].get<double>(), 1e-4);
}

TEST(DistillCfg, TheImitationLossFalls) {
  FinetuneConfig config = distill_config({.diversity_scale = 0});
  config.sample_num_steps = 4;
  config.learning_rate = 0.02;
  const auto chain = finetune::make_sampling_plan(config, {}, {1, 2, 2}, at::kCPU);
  const Trajectories drawn = some_trajectories(chain);
  const TwoNumbers w = numbers(0.5, 0.1);
  auto optimizer = finetune::make_optimizer(config, {{"slope", w.slope}, {"shift", w.shift}}, 200);
  const auto imitation = [&](int64_t updates) {
    config.num_inner_epochs = updates;
    const auto report = finetune::update(
        {denoiser_of(w), drawn, at::zeros({6}, at::kDouble), chain, 1, 0.2, finetune::whole(6)},
        config, optimizer, [] {});
    EXPECT_EQ(report.values.at(1).first, "imitation");
    return report.values[1].second;
  };
  const double before = imitation(1);
  imitation(150);
  EXPECT_LT(imitation(1), 0.1 * before);
}

// Without guidance the imitation only keeps it near the start.
TEST(DistillCfg, ThePolicyGradientRaisesAnyReward) {
  FinetuneConfig config = distill_config({.guidance_scale = 1, .diversity_scale = 100});
  config.train_full = true;
  config.num_epochs = 8;
  config.images_per_prompt = 24;
  config.sample_batch_size = config.train_batch_size = 48;
  config.learning_rate = 1e-3;
  const auto options = tests::run_options(tests::fresh_folder(), config.method.name, 0, "");
  EXPECT_GT(finetune::run_finetune(tests::tiny_task(), config, options, {}).trained.value(), 0.3);
}

TEST(DistillCfg, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  FinetuneConfig config = distill_config({});
  config.num_inner_epochs = 2;
  config.prompts_per_update = 1;
  const fs::path whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  run(config, whole);
  config.num_epochs = 2;
  run(config, parts);
  config.num_epochs = 4;
  run(config, parts, "latest");
  const std::string last = "checkpoint-16/state.safetensors";
  tests::expect_same_tensors(whole / last, parts / last);
}

// The images of a prompt lie on several ranks: their diversity is that of all of them.
TEST(DistillCfgRanks, FiguresOfSeveralProcessesAreThoseOfOne) {
  FinetuneConfig config = distill_config({});
  config.num_epochs = 2;
  if (tests::is_rank()) {
    const int code = tools::in_ranks("", {60, 40}, [&](const finetune::ProcessGroup& ranks) {
      run(config, tests::rank_folder() / "run", "", ranks);
      return 0;
    });
    EXPECT_EQ(code, 0);
    return;
  }
  const fs::path alone = tests::fresh_folder("alone"), folder = tests::fresh_folder("ranks");
  run(config, alone);
  const auto codes = tests::wait_for(tests::start_ranks(3, folder), 120);
  EXPECT_EQ(codes, std::vector<int>(3, 0)) << tests::text_of(folder / "rank-0.log");
  const auto expected = tests::metrics(alone, false), found = tests::metrics(folder / "run", false);
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    for (const char* name : {"loss", "imitation", "grad_norm", "reward/apart"}) {
      const double value = expected[i][name].get<double>();
      EXPECT_NEAR(found[i][name].get<double>(), value, 1e-4 * std::abs(value) + 1e-7) << name;
    }
  }
}

TEST(DistillCfg, TheForecastCountsTheGuidedPass) {
  FinetuneConfig config = distill_config({.guidance_scale = 3});
  const auto guided = finetune::forecast(diverse_task(), config);
  config.method = finetune::distill_cfg_method({.guidance_scale = 1});
  const auto plain = finetune::forecast(diverse_task(), config);
  EXPECT_NEAR(guided.flop_per_step / plain.flop_per_step, 1.5, 0.05);  // 1 + 2 passes, 1 + 1
  EXPECT_EQ(guided.trajectory_bytes, plain.trajectory_bytes);
}

}  // namespace
