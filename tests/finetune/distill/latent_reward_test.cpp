#include "finetune/distill/latent_reward.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/gradient_check.hpp"

namespace {

using finetune::LatentReward;

LatentReward tiny_reward() { return finetune::make_latent_reward(4, 8, at::kCPU, 1); }

TEST(PairSoftmaxKl, OfAHandComputedPairAndZeroWhereTheyAgree) {
  const at::Tensor expert = at::tensor({1.0, 0.0}, at::kDouble),
                   score = at::tensor({0.0, 0.0}, at::kDouble);
  const double p = 1 / (1 + std::exp(-1.0));
  EXPECT_NEAR(finetune::pair_softmax_kl(expert, score).item<double>(),
              p * std::log(p / 0.5) + (1 - p) * std::log((1 - p) / 0.5), 1e-12);
  EXPECT_NEAR(finetune::pair_softmax_kl(expert, expert + 7).item<double>(), 0, 1e-12);
  EXPECT_LT(gradient_error(
                [&](const at::Tensor& x) {
                  return finetune::pair_softmax_kl(at::tensor({1.0, 0.0, -2.0}, at::kDouble), x);
                },
                at::tensor({0.3, -0.2, 0.5}, at::kDouble)),
            1e-6);
  EXPECT_THROW(finetune::pair_softmax_kl(expert.narrow(0, 0, 1), score.narrow(0, 0, 1)),
               c10::Error);
}

TEST(LatentReward, LearnsAnExpertsOrderOnFreshLatents) {
  LatentReward reward = tiny_reward();
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor hidden = at::randn({24, 3, 8}, generator);
  double accuracy = 0;
  for (int step = 0; step < 60; ++step) {
    const at::Tensor latents =
        at::randn({24, 4, 8, 8}, generator) + at::randn({24, 4, 1, 1}, generator);
    accuracy = finetune::update_latent_reward(
                   reward, latents, hidden, latents.select(1, 0).mean({1, 2}).to(at::kDouble), 3e-3)
                   .accuracy;
  }
  EXPECT_GT(accuracy, 0.85);
}

// Its use leaves no trace in it, and its update none in the latents: neither can leak.
TEST(LatentReward, UseAndUpdateDoNotTouchEachOther) {
  LatentReward reward = tiny_reward();
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor latents = at::randn({4, 4, 8, 8}, generator).requires_grad_(true),
                   hidden = at::randn({4, 3, 8}, generator);
  reward.spread = 2;
  const auto gradient = finetune::latent_gradient(reward, latents, hidden);
  EXPECT_GT(gradient.gradient.abs().max().item<double>(), 0);
  EXPECT_FALSE(latents.grad().defined());
  for (const auto& param : reward.state.params) EXPECT_FALSE(param.value.grad().defined());
  finetune::update_latent_reward(reward, latents, hidden, at::arange(4).to(at::kDouble), 1e-3);
  EXPECT_FALSE(latents.grad().defined());
  const auto later = finetune::latent_gradient(reward, latents, hidden);
  EXPECT_FALSE(at::equal(gradient.gradient, later.gradient));  // it has learnt
}

TEST(LatentReward, LeavesOutValuesThatAreNotFinite) {
  LatentReward reward = tiny_reward();
  const at::Tensor latents = at::ones({2, 4, 8, 8}), hidden = at::ones({2, 3, 8});
  finetune::update_latent_reward(reward, latents, hidden,
                                 at::tensor({1.0, std::nan("")}, at::kDouble), 1e-3);
  EXPECT_EQ(reward.updates, 0);
}

TEST(LatentReward, ReadsBackAsItWasWritten) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "laurel_latent_reward";
  std::filesystem::create_directories(folder);
  LatentReward reward = tiny_reward(), other = finetune::make_latent_reward(4, 8, at::kCPU, 9);
  reward.spread = 1.0 / 3;
  reward.updates = 7;
  finetune::save_latent_reward(folder, reward);
  finetune::load_latent_reward(folder, other);
  EXPECT_EQ(other.spread, reward.spread);
  EXPECT_EQ(other.updates, 7);
  const at::Tensor latents = at::ones({1, 4, 8, 8}), hidden = at::ones({1, 3, 8});
  EXPECT_TRUE(at::equal(finetune::latent_score(reward.scorer, latents, hidden),
                        finetune::latent_score(other.scorer, latents, hidden)));
}

}  // namespace
