#include "rewards/value/train.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/evaluation/agreement.hpp"
#include "rewards/value/explained.hpp"
#include "tests/rewards/value/gaussian_chains.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"

namespace {

using rewards::ValueConfig;
using rewards::ValueData;
using tests::gaussian_chains;
using tests::kSignals;
using tests::kSlope;

ValueConfig gaussian_config() {
  ValueConfig config;
  config.space.channels = 1;
  config.text_width = 4;
  config.reward = "slope";
  return config;
}

rewards::ValueTraining short_training(const std::filesystem::path& folder, int64_t steps) {
  rewards::ValueTraining training;
  training.loop.output_dir = folder;
  training.loop.max_train_steps = steps;
  training.loop.train_batch_size = 64;
  training.loop.lr_warmup_steps = 5;
  training.loop.checkpointing_steps = 10;
  training.loop.ema_decay = 0.9;
  training.loop.learning_rate = 3e-3;
  return training;
}

void silent(const std::string&) {}

TEST(ValueTraining, FindsTheClosedFormOfALinearGaussianChain) {
  const ValueData data = gaussian_chains(16, 64, 1), fresh = gaussian_chains(4, 64, 2);
  ValueConfig config = gaussian_config();
  rewards::measure_reward(data, config);
  const auto network =
      rewards::train_value(config, data, short_training(tests::fresh_folder(), 150), silent);
  for (size_t k = 0; k < kSignals.size(); ++k) {
    std::vector<at::Tensor> told, exact, rewards;
    std::vector<int64_t> ids;
    for (size_t p = 0; p < fresh.prompts.size(); ++p) {
      const auto& chains = fresh.prompts[p];
      told.push_back(rewards::values_of(network, fresh, p).select(1, static_cast<int64_t>(k)));
      exact.push_back(
          kSlope * kSignals[k] *
          chains.latents.select(1, static_cast<int64_t>(k)).to(at::kDouble).mean({1, 2, 3}));
      rewards.push_back(chains.rewards);
      ids.insert(ids.end(), 64, static_cast<int64_t>(p));
    }
    EXPECT_GT(rewards::pearson(at::cat(told), at::cat(exact)), 0.9) << kSignals[k];
    // The closed form explains the square of the signal.
    const double known =
        rewards::explained_within_prompts(at::cat(exact), at::cat(rewards), ids).value;
    EXPECT_NEAR(known, kSignals[k] * kSignals[k], 0.1);
    EXPECT_NEAR(rewards::explained_within_prompts(at::cat(told), at::cat(rewards), ids).value,
                known, 0.15);
  }
}

TEST(ValueTraining, ResumedEqualsAnUninterruptedRunBitForBit) {
  const ValueData data = gaussian_chains(6, 8, 3);
  ValueConfig config = gaussian_config();
  rewards::measure_reward(data, config);
  const auto whole = tests::fresh_folder("whole"), parts = tests::fresh_folder("parts");
  const auto at_once = rewards::train_value(config, data, short_training(whole, 20), silent);
  auto first = short_training(parts, 20);
  first.loop.logging_steps = 15;  // ends there, after the checkpoint of step 10
  EXPECT_THROW(rewards::train_value(config, data, first,
                                    [](const std::string&) { throw std::runtime_error("end"); }),
               std::runtime_error);
  auto second = short_training(parts, 20);
  second.loop.resume_from_checkpoint = "latest";
  const auto resumed = rewards::train_value(config, data, second, silent);
  EXPECT_TRUE(at::equal(at_once.own_1.weight, resumed.own_1.weight));
  auto other = second;
  other.centre = false;
  other.loop.resume_from_checkpoint = "latest";
  EXPECT_NE(refusal([&] { rewards::train_value(config, data, other, silent); }).find("centre"),
            std::string::npos);
}

TEST(ValueLoss, OfAHandComputedBatchAndItsGradient) {
  ValueConfig config;
  config.mean = 5;
  config.spread = 2;
  const at::Tensor own = at::tensor({0.5, -1.0}, at::kDouble),
                   prompt = at::tensor({0.0, 1.0}, at::kDouble),
                   rewards = at::tensor({8.0, 4.0}, at::kDouble),
                   means = at::tensor({6.0, 6.0}, at::kDouble);
  // own: (0.5 - 1)^2, (-1 + 1)^2; prompt: (0 - 0.5)^2, (1 - 0.5)^2
  EXPECT_NEAR(rewards::value_loss(config, {prompt, own}, rewards, means, true).item<double>(),
              0.125 + 0.25, 1e-12);
  // sums 0.5, 0 against 1.5, -0.5
  EXPECT_NEAR(rewards::value_loss(config, {prompt, own}, rewards, means, false).item<double>(),
              (1 + 0.25) / 2, 1e-12);
  for (const bool centre : {true, false}) {
    EXPECT_LT(gradient_error(
                  [&](const at::Tensor& x) {
                    return rewards::value_loss(config, {prompt, x}, rewards, means, centre);
                  },
                  own),
              1e-6);
  }
}

TEST(ValueTraining, RefusesARewardThatDoesNotVaryWithinAPrompt) {
  ValueData data = gaussian_chains(2, 4, 5);
  for (auto& prompt : data.prompts) prompt.rewards = at::ones({4}, at::kDouble);
  ValueConfig config = gaussian_config();
  EXPECT_NE(refusal([&] { rewards::measure_reward(data, config); }).find("slope: expected rewards"),
            std::string::npos);
}

TEST(ValueTraining, LeavesOutRewardsThatAreNotFinite) {
  ValueData data = gaussian_chains(2, 4, 6);
  data.prompts[0].rewards[1] = std::nan("");
  ValueConfig config = gaussian_config();
  rewards::measure_reward(data, config);
  EXPECT_TRUE(std::isfinite(config.mean) && config.spread > 0);
  const auto network =
      rewards::train_value(config, data, short_training(tests::fresh_folder(), 3), silent);
  EXPECT_TRUE(network.own_1.weight.isfinite().all().item<bool>());
}

TEST(ExplainedWithinPrompts, OfAHandComputedCase) {
  // Prompt 0: x = -1, 1, y = -1, 1; prompt 1: x = -1, 1, y = 1, -1 times 2, shifted.
  const at::Tensor x = at::tensor({9.0, 11.0, -1.0, 1.0}, at::kDouble),
                   y = at::tensor({0.0, 2.0, 7.5, 6.5}, at::kDouble);
  // sums: xx 2 + 2, xy 2 - 1, yy 2 + 0.5
  const auto share = rewards::explained_within_prompts(x, y, {0, 0, 1, 1});
  EXPECT_NEAR(share.value, 1.0 / (4 * 2.5), 1e-12);
  EXPECT_LE(share.low, share.value);
  EXPECT_NEAR(rewards::explained_within_prompts(x, 3 * x + 1, {0, 0, 1, 1}).value, 1, 1e-12);
  EXPECT_EQ(rewards::explained_within_prompts(x, -x, {0, 0, 1, 1}).value, 0);
  EXPECT_THROW(rewards::explained_within_prompts(x, y, {0, 1, 2, 3}), c10::Error);
  EXPECT_THROW(rewards::explained_within_prompts(x, y, {0, 0}), c10::Error);
}

}  // namespace
