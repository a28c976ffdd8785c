#include "finetune/policy/step_credit.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "finetune/policy/state_values.hpp"
#include "finetune/policy/trainer.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::EpochValues;
using finetune::StateBatch;
using finetune::StepCredit;

at::Generator seeded(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

const std::vector<double> kSignals{0.2, 0.6, 0.9, 0.99};

// Of P chains with x_0 standard normal, noised anew at each step, and r = 3 x_0: E[x_0 | x] is
// signal x, and so the value is 3 signal x.
EpochValues gaussian_values(int64_t count, uint64_t seed) {
  auto generator = seeded(seed);
  const at::Tensor clean = at::randn({count}, generator, at::kDouble);
  std::vector<at::Tensor> values;
  for (const double signal : kSignals) {
    const at::Tensor x = signal * clean + std::sqrt(1 - signal * signal) *
                                              at::randn({count}, generator, at::kDouble);
    values.push_back(3 * signal * x);
  }
  return {.rewards = 3 * clean, .steps = at::stack(values, 1), .baseline = {}};
}

StepCredit credit_of(double scale) {
  StepCredit credit;
  credit.steps.of = [](const StateBatch& states) { return states.x.mean({1, 2, 3}); };
  credit.scale = scale;
  return credit;
}

TEST(StepRewards, OfALinearGaussianChainAddUpToTheRewardLessTheFirstValue) {
  const EpochValues values = gaussian_values(64, 1);
  const at::Tensor own = finetune::step_rewards(values.steps, values.rewards);
  EXPECT_LT((own.sum(1) - (values.rewards - values.steps.select(1, 0))).abs().max().item<double>(),
            1e-12);
  EXPECT_THROW(finetune::step_rewards(values.steps, values.rewards.narrow(0, 0, 3)), c10::Error);
}

TEST(StepLabels, OfAHandComputedCase) {
  // Two images of a prompt, two steps. Step rewards: 1 - 0 = 1, 4 - 1 = 3; 3 - 2 = 1, 2 - 3 = -1.
  const at::Tensor values = at::tensor({0.0, 1.0, 2.0, 3.0}, at::kDouble).view({2, 2}),
                   rewards = at::tensor({4.0, 2.0}, at::kDouble);
  const at::Tensor labels = at::tensor({2.0, -2.0}, at::kDouble);  // twice the centred rewards
  auto generator = seeded(1);
  const at::Tensor with =
      finetune::step_labels(credit_of(0.5), labels, {rewards, values, {}}, {7, 7}, generator);
  // 2 x 0.5 x (1 - 1), 2 x 0.5 x (3 - 1)
  EXPECT_TRUE(at::allclose(with, at::tensor({2.0, 4.0, -2.0, -4.0}, at::kDouble).view({2, 2})));
  // A baseline: less 2 x (0 - 1), 2 x (1 - 2).
  const at::Tensor based =
      finetune::step_labels({}, labels, {rewards, {}, values}, {7, 7}, generator);
  EXPECT_TRUE(at::allclose(based, at::tensor({4.0, 4.0, -4.0, -4.0}, at::kDouble).view({2, 2})));
}

TEST(StepLabels, OfScaleZeroAreTheLabelsBitForBit) {
  const EpochValues values = gaussian_values(8, 2);
  auto generator = seeded(3);
  const at::Tensor labels = at::randn({8}, generator, at::kDouble);
  for (const bool shuffled : {false, true}) {
    StepCredit credit = credit_of(0);
    credit.shuffled = shuffled;
    const at::Tensor all =
        finetune::step_labels(credit, labels, values, {0, 0, 0, 0, 1, 1, 1, 1}, generator);
    for (int64_t k = 0; k < all.size(1); ++k) EXPECT_TRUE(at::equal(all.select(1, k), labels));
  }
}

TEST(StepLabels, ShuffledHaveTheSameSumOfEachTrajectoryAndOtherSteps) {
  const EpochValues values = gaussian_values(8, 4);
  const at::Tensor labels = values.rewards - values.rewards.mean();
  const std::vector<int64_t> ids(8, 0);
  StepCredit shuffled = credit_of(1);
  shuffled.shuffled = true;
  auto generator = seeded(5);
  const at::Tensor plain = finetune::step_labels(credit_of(1), labels, values, ids, generator),
                   mixed = finetune::step_labels(shuffled, labels, values, ids, generator);
  EXPECT_TRUE(at::allclose(plain.sum(1), mixed.sum(1), 0, 1e-12));
  EXPECT_FALSE(at::allclose(plain, mixed));
}

TEST(StepLabels, LeaveTrajectoriesAloneThatAreNotFinite) {
  EpochValues values = gaussian_values(4, 6);
  values.steps[1][2] = std::nan("");
  const at::Tensor labels = at::tensor({1.0, 2.0, 3.0, -1.0}, at::kDouble);
  auto generator = seeded(7);
  const at::Tensor all =
      finetune::step_labels(credit_of(1), labels, values, {0, 0, 0, 0}, generator);
  EXPECT_TRUE(at::equal(all[1], at::full({4}, 2.0, at::kDouble)));
  EXPECT_TRUE(all.isfinite().all().item<bool>());
  EXPECT_THROW(finetune::step_labels(credit_of(1), labels, values, {0, 0}, generator), c10::Error);
}

// A baseline that knows the end leaves noise alone out: what a step could not foresee remains.
TEST(StepLabels, ABaselineOfTheValueLowersTheirVariance) {
  EpochValues values = gaussian_values(64, 8);
  std::swap(values.steps, values.baseline);
  const at::Tensor labels = values.rewards - values.rewards.mean();
  auto generator = seeded(9);
  const at::Tensor all =
      finetune::step_labels({}, labels, values, std::vector<int64_t>(64, 0), generator);
  EXPECT_LT(all.select(1, 3).var().item<double>(), 0.1 * labels.var().item<double>());
  EXPECT_LT(all.select(1, 2).var().item<double>(), all.select(1, 1).var().item<double>());
}

TEST(StateValues, OfTheExpectedPictureAreItsReward) {
  const finetune::TrainingTask task = tests::tiny_task();
  const finetune::FinetuneConfig config = tests::tiny_config("ddpo");
  const auto chain = finetune::make_sampling_plan(config, task.pipeline->scheduler,
                                                  task.latent_shape, task.device);
  const auto schedule = diffusion::make_schedule(task.pipeline->scheduler);
  // Expects x0 = 1 everywhere: redness 10 (1 / 5 + 0.5).
  const finetune::Denoiser policy = [&](const at::Tensor& x, double timestep,
                                        const std::vector<int64_t>&) {
    return diffusion::output_for(chain.prediction, diffusion::level_between(schedule, timestep), x,
                                 at::ones_like(x));
  };
  const auto drawn = finetune::rollout(
      policy, {}, {.prompt_ids = {0, 0, 1}, .seeds = {1, 2, 3}, .noise_seeds = {}}, chain, 2);
  const finetune::DrawnStates states{policy, drawn, task.prompts, chain, schedule, 2};
  const at::Tensor values = finetune::state_values(finetune::expected_picture_value(task), states);
  EXPECT_TRUE(at::allclose(values, at::full({3, 3}, 7.0, at::kDouble), 1e-3, 1e-3));
  const at::Tensor means = finetune::state_values(credit_of(1).steps, states);
  EXPECT_TRUE(at::allclose(means[2][1], drawn.latents[1][2].mean().to(at::kDouble)));
}

std::filesystem::path network_after(const std::string& method,
                                    const StepCredit& credit,
                                    const std::string& name) {
  finetune::FinetuneConfig config = tests::tiny_config(method);
  config.num_epochs = 2;
  config.credit = credit;
  const auto folder = tests::fresh_folder(method + name);
  finetune::run_finetune(tests::tiny_task(), config,
                         tests::run_options(folder, method, config.seed, ""),
                         tests::reporter_into(nullptr));
  return folder / "checkpoint-2/state.safetensors";
}

TEST(StepCredit, OfScaleZeroTrainsTheSameNetworkBitForBit) {
  StepCredit zero = credit_of(0);
  zero.shuffled = true;  // draws numbers of its own
  for (const char* method : {"ddpo", "dpok", "grpo"})
    tests::expect_same_tensors(network_after(method, {}, "plain"),
                               network_after(method, zero, "zero"));
}

TEST(StepCredit, AndABaselineTrainAnotherNetwork) {
  StepCredit baseline;
  baseline.baseline = credit_of(1).steps;
  const auto plain = data::read_safetensors(network_after("grpo", {}, "plain"));
  for (const StepCredit& credit : {credit_of(1), baseline}) {
    const auto with = data::read_safetensors(network_after("grpo", credit, "with"));
    bool changed = false;
    for (const auto& [name, tensor] : plain.tensors)
      changed = changed || !at::equal(tensor, with.tensors.at(name));
    EXPECT_TRUE(changed);
  }
}

}  // namespace
