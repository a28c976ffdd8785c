#include "rewards/value/online.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/value/batches.hpp"
#include "rewards/value/files.hpp"
#include "tests/rewards/value/gaussian_chains.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

using rewards::OnlineOptions;
using rewards::OnlineValue;
using rewards::ValueConfig;
using rewards::ValueData;

ValueData gaussian_epoch(uint64_t seed) { return tests::gaussian_chains(4, 16, seed); }

OnlineValue fresh_value() {
  ValueConfig config;
  config.space = {.channels = 1, .fingerprint = {0.5}, .signals = {0.9}};
  config.text_width = 4;
  config.reward = "slope";
  return rewards::make_online_value(config, 7, at::kCPU);
}

constexpr OnlineOptions kOptions{
    .updates = 20, .batch_size = 32, .replay_epochs = 2, .learning_rate = 3e-3};

void no_tick() {}

OnlineValue after(OnlineValue value, uint64_t first, uint64_t last) {
  for (uint64_t seed = first; seed <= last; ++seed)
    value = rewards::learn_epoch(value, gaussian_epoch(seed), kOptions, no_tick).value;
  return value;
}

void expect_same(const OnlineValue& a, const OnlineValue& b) {
  ASSERT_EQ(a.state.params.size(), b.state.params.size());
  for (size_t i = 0; i < a.state.params.size(); ++i)
    EXPECT_TRUE(at::equal(a.state.params[i].value, b.state.params[i].value))
        << a.state.params[i].name;
  EXPECT_EQ(a.updates, b.updates);
}

TEST(RatedChains, AreThoseOfFiniteRewardsWithTheirPromptsMeans) {
  ValueData data = tests::gaussian_chains(2, 3, 1);
  data.prompts[0].rewards = at::tensor({1.0, std::nan(""), 4.0}, at::kDouble);
  data.prompts[1].rewards = at::tensor({5.0, 6.0, 7.0}, at::kDouble);
  const auto chains = rewards::rated_chains(data);
  ASSERT_EQ(chains.places.size(), 5u);
  EXPECT_EQ(chains.places[1].prompt, 0u);
  EXPECT_EQ(chains.places[1].row, 2);
  EXPECT_EQ(chains.means, (std::vector<double>{2.5, 6}));
}

TEST(ValueBatches, HaveTheStateTheTimestepAndTheRewardOfTheirChains) {
  const ValueData data = tests::gaussian_chains(2, 3, 1);
  const OnlineValue value = fresh_value();
  auto generator = at::detail::createCPUGenerator(1);
  const std::vector<rewards::ChainPlace> places(8, {1, 2});
  const auto batch =
      rewards::value_batch(value.network, data, rewards::rated_chains(data), places, generator);
  EXPECT_EQ(batch.input.latents.scalar_type(), at::kFloat);
  for (int64_t i = 0; i < 8; ++i) {
    const double timestep = batch.input.timesteps[i].item<double>();
    const int64_t step = timestep == 800 ? 0 : timestep == 300 ? 1 : 2;
    EXPECT_TRUE(at::equal(batch.input.latents[i], data.prompts[1].latents[2][step].to(at::kFloat)));
    EXPECT_EQ(batch.rewards[i].item<double>(), data.prompts[1].rewards[2].item<double>());
    EXPECT_NEAR(batch.means[i].item<double>(), data.prompts[1].rewards.mean().item<double>(),
                1e-12);
  }
  EXPECT_FALSE(at::equal(batch.input.timesteps[0].expand({8}), batch.input.timesteps));
}

TEST(OnlineValue, ExplainsNewEpochsMoreAndMore) {
  OnlineValue value = fresh_value();
  EXPECT_TRUE(rewards::explained_by_step(value, gaussian_epoch(1)).empty());
  value = after(value, 1, 6);
  const auto explained = rewards::explained_by_step(value, gaussian_epoch(9));
  ASSERT_EQ(explained.size(), 3u);
  // The closed form explains the square of the signal: 0.09, 0.64, 1.
  EXPECT_LT(explained[0], 0.35);
  EXPECT_GT(explained[2], 0.85);
  EXPECT_GT(explained[2], explained[0]);
}

TEST(OnlineValue, TakesTheRewardsScaleFromTheFirstEpochAndForgetsTheOldest) {
  OnlineValue value = fresh_value();
  const ValueData first = gaussian_epoch(1);
  ValueConfig measured = value.network.config;
  rewards::measure_reward(first, measured);
  int64_t ticks = 0;
  const auto step = rewards::learn_epoch(value, first, kOptions, [&] { ++ticks; });
  EXPECT_EQ(ticks, 20);
  EXPECT_EQ(step.value.updates, 20);
  EXPECT_GT(step.loss, 0);
  EXPECT_EQ(step.value.network.config.mean, measured.mean);
  EXPECT_EQ(step.value.network.config.spread, measured.spread);
  value = after(step.value, 2, 3);
  EXPECT_EQ(value.network.config.spread, measured.spread);
  ASSERT_EQ(value.replay.size(), 2u);
  EXPECT_TRUE(at::equal(value.replay[0].prompts[0].latents, gaussian_epoch(2).prompts[0].latents));
}

TEST(OnlineValue, LearnsNothingWhereNoRewardVaries) {
  ValueData flat = gaussian_epoch(1);
  for (auto& prompt : flat.prompts) prompt.rewards = at::ones({16}, at::kDouble);
  const OnlineValue before = fresh_value();
  const auto step = rewards::learn_epoch(before, flat, kOptions, no_tick);
  expect_same(before, step.value);
  EXPECT_EQ(step.value.replay.size(), 1u);
  EXPECT_TRUE(rewards::explained_by_step(after(before, 1, 1), flat).empty());
}

TEST(OnlineValue, StaysAsItIsWhenLearningFails) {
  const OnlineValue value = after(fresh_value(), 1, 1);
  const OnlineValue untouched = after(fresh_value(), 1, 1);
  EXPECT_THROW(rewards::learn_epoch(value, gaussian_epoch(2), kOptions,
                                    [] { throw std::runtime_error("lost"); }),
               std::runtime_error);
  expect_same(value, untouched);
  expect_same(after(value, 2, 2), after(untouched, 2, 2));
}

TEST(OnlineValue, GoesOnFromItsFilesBitForBit) {
  const auto folder = tests::fresh_folder();
  rewards::save_online_value(folder, after(fresh_value(), 1, 3));
  OnlineValue resumed = fresh_value();
  rewards::load_online_value(folder, resumed);
  expect_same(after(resumed, 4, 5), after(fresh_value(), 1, 5));
  const auto network = rewards::load_value_network(folder);
  EXPECT_TRUE(at::equal(network.own_1.weight, resumed.network.own_1.weight.detach()));
  EXPECT_EQ(network.config.spread, resumed.network.config.spread);
}

TEST(OnlineValue, RefusesFilesOfAnotherConfigurationAndNone) {
  const auto folder = tests::fresh_folder();
  rewards::save_online_value(folder, fresh_value());
  ValueConfig wide = fresh_value().network.config;
  wide.text_width = 8;
  OnlineValue other = rewards::make_online_value(wide, 7, at::kCPU);
  EXPECT_NE(refusal([&] { rewards::load_online_value(folder, other); }).find("text"),
            std::string::npos);
  OnlineValue value = fresh_value();
  EXPECT_NE(refusal([&] { rewards::load_online_value(folder / "none", value); }), "");
}

}  // namespace
