#include "rewards/value/kept_chains.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using rewards::ChainFile;
using rewards::ValueConfig;

ValueConfig run_config() {
  ValueConfig config;
  config.space = {.channels = 1, .fingerprint = {0.1, 0.9}, .signals = {0.99, 0.5}};
  config.text_width = 5;
  config.reward = "bright,dark=0.5";
  config.unit = "points";
  return config;
}

// Two chains of a prompt, of rewards 1, 2 and 3, 4.
ChainFile chains_of(const std::string& prompt, int64_t steps = 3, int64_t side = 4) {
  auto generator = at::detail::createCPUGenerator(prompt.size());
  return {.prompt = prompt,
          .latents = at::randn({2, steps, 1, side, side}, generator).to(at::kHalf),
          .clean = at::randn({2, 1, side, side}, generator),
          .expected = {},
          .rewards = at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble).view({2, 2}),
          .combined = at::tensor({-1.0, 1.0}, at::kDouble),
          .text = at::randn({5}, generator),
          .timesteps = 800 - 100 * at::arange(steps, at::kDouble)};
}

void write_epoch(const fs::path& run,
                 const std::string& epoch,
                 const ValueConfig& config,
                 const std::vector<ChainFile>& prompts) {
  rewards::write_kept_epoch(run / "trajectories" / epoch, config, prompts);
}

// A run of two epochs of two prompts.
fs::path two_epochs(const std::string& name) {
  const fs::path run = tests::fresh_folder(name);
  write_epoch(run, "epoch-00002", run_config(), {chains_of("a"), chains_of("bb")});
  write_epoch(run, "epoch-00010", run_config(), {chains_of("ccc"), chains_of("a")});
  return run;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(WeightedChains, AddTheRewardsByHand) {
  const auto chains = rewards::weighted_chains(chains_of("a"), {2, 0.5});
  EXPECT_TRUE(at::equal(chains.rewards, at::tensor({3.0, 8.0}, at::kDouble)));
  ChainFile spared = chains_of("a");
  spared.rewards[0][1] = std::nan("");  // a reward of no weight may be missing
  EXPECT_TRUE(at::equal(rewards::weighted_chains(spared, {1, 0}).rewards,
                        at::tensor({1.0, 3.0}, at::kDouble)));
}

TEST(KeptChains, AreThoseOfAllEpochsOfAllRunsInOrder) {
  const fs::path first = two_epochs("first"), second = two_epochs("second");
  fs::create_directories(first / "trajectories/epoch-00011.tmp");  // half written
  const auto kept = rewards::read_kept_chains({first, second}, "");
  EXPECT_EQ(kept.prompts, (std::vector<std::string>{"a", "bb", "ccc", "a", "a", "bb", "ccc", "a"}));
  ASSERT_EQ(kept.data.prompts.size(), 8u);
  EXPECT_EQ(kept.data.timesteps, (std::vector<double>{800, 700, 600}));
  EXPECT_TRUE(at::equal(kept.data.prompts[1].latents, chains_of("bb").latents));
  EXPECT_TRUE(at::equal(kept.data.prompts[1].rewards, at::tensor({2.0, 5.0}, at::kDouble)));
  EXPECT_EQ(kept.config.reward, "bright,dark=0.5");
  EXPECT_EQ(kept.config.unit, "points");
  EXPECT_NE(kept.data.digest, rewards::read_kept_chains({first}, "").data.digest);
}

TEST(KeptChains, TakeAnotherSumOfWhatWasTrained) {
  const auto kept = rewards::read_kept_chains({two_epochs("run")}, "dark=2");
  EXPECT_TRUE(at::equal(kept.data.prompts[0].rewards, at::tensor({4.0, 8.0}, at::kDouble)));
  EXPECT_EQ(kept.config.reward, "dark=2");
  EXPECT_EQ(kept.config.unit, "");
}

TEST(KeptChains, RefuseRunsThatDoNotFitTogether) {
  const fs::path run = two_epochs("run"), other = tests::fresh_folder("other");
  const auto refused = [&](const ValueConfig& config, const ChainFile& chains) {
    fs::remove_all(other / "trajectories");
    write_epoch(other, "epoch-00001", config, {chains});
    return refusal([&] { rewards::read_kept_chains({run, other}, ""); });
  };
  EXPECT_EQ(refused(run_config(), chains_of("a")), "");
  ValueConfig config = run_config();
  config.space.channels = 16;
  EXPECT_TRUE(has(refused(config, chains_of("a")), "found 16 channels, not 1"));
  config = run_config();
  config.space.signals = {0.99, 0.7};
  EXPECT_TRUE(has(refused(config, chains_of("a")), "another noise schedule"));
  config = run_config();
  config.text_width = 6;
  EXPECT_TRUE(has(refused(config, chains_of("a")), "expected texts of width 5"));
  config = run_config();
  config.reward = "bright";
  ChainFile one = chains_of("a");
  one.rewards = one.rewards.narrow(1, 0, 1);
  EXPECT_TRUE(has(refused(config, one), "--reward dark: expected a reward that "));
  EXPECT_TRUE(has(refused(run_config(), one), "expected the rewards of a finetuning run's chains"));
  EXPECT_TRUE(has(refused(run_config(), chains_of("a", 4)), "expected 3 steps as in the runs"));
  EXPECT_TRUE(has(refused(run_config(), chains_of("a", 3, 8)), "expected latents of the size"));
  ChainFile later = chains_of("a");
  later.timesteps = later.timesteps + 1;
  EXPECT_TRUE(has(refused(run_config(), later), "expected the timesteps of the runs before it"));
}

TEST(KeptChains, RefuseAFolderThatKeepsNone) {
  const fs::path run = tests::fresh_folder();
  const auto line = refusal([&] { rewards::read_kept_chains({run}, ""); });
  EXPECT_TRUE(has(line, "--runs " + run.string() + ": expected a finetuning run that keeps"));
  EXPECT_TRUE(has(line, "--save_trajectories"));
  EXPECT_TRUE(has(refusal([&] { rewards::read_kept_chains({run / "none"}, ""); }), "--runs"));
}

TEST(KeptChains, RefuseADamagedEpoch) {
  const fs::path run = two_epochs("run"), epoch = run / "trajectories/epoch-00002";
  data::write_file(epoch / "00001.safetensors", "x");
  EXPECT_TRUE(has(refusal([&] { rewards::read_kept_chains({run}, ""); }), "00001.safetensors"));
  data::write_file(epoch / "reward.json", "{}");
  EXPECT_TRUE(has(refusal([&] { rewards::read_kept_chains({run}, ""); }), "reward.json"));
}

}  // namespace
