#include "finetune/policy/methods/ddpo_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(PromptAdvantages, NormaliseInsideEachPrompt) {
  const at::Tensor rewards = at::tensor({1.0, 3.0, 10.0, 10.0, kNan, 50.0}, at::kDouble);
  const at::Tensor a = finetune::prompt_advantages(rewards, {0, 0, 1, 1, 0, 2}, 5);
  EXPECT_NEAR(a[0].item<double>(), -1, 1e-5);
  EXPECT_NEAR(a[1].item<double>(), 1, 1e-5);
  for (const int64_t i : {2, 3, 4, 5}) EXPECT_EQ(a[i].item<double>(), 0) << i;
  at::Tensor outlier = at::zeros({100}, at::kDouble);
  outlier[0] = 1;
  EXPECT_DOUBLE_EQ(
      finetune::prompt_advantages(outlier, std::vector<int64_t>(100, 0), 5).max().item<double>(),
      5);
  EXPECT_THROW(finetune::prompt_advantages(rewards, {0}, 5), c10::Error);
}

TEST(EpochAdvantages, NormaliseOverAllPrompts) {
  // The finite ones have the mean 2 and the variance 1.5.
  const at::Tensor a =
      finetune::epoch_advantages(at::tensor({1.0, 1.0, kNan, 4.0, 2.0}, at::kDouble), 1.2);
  const double unit = 1 / std::sqrt(1.5);
  EXPECT_NEAR(a[0].item<double>(), -unit, 1e-5);
  EXPECT_NEAR(a[1].item<double>(), -unit, 1e-5);
  EXPECT_EQ(a[2].item<double>(), 0);
  EXPECT_DOUBLE_EQ(a[3].item<double>(), 1.2);  // 1.63 without the limit
  EXPECT_NEAR(a[4].item<double>(), 0, 1e-12);
  EXPECT_EQ(finetune::epoch_advantages(at::tensor({3.0, kNan}, at::kDouble), 5)[0].item<double>(),
            0);
  EXPECT_THROW(finetune::epoch_advantages(at::zeros({2, 2}), 5), c10::Error);
}

TEST(DdpoGradient, EqualAutogradOfTheClippedSurrogate) {
  at::Generator generator = at::detail::createCPUGenerator(1);
  const auto normal = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::kDouble).normal_(0, 1, generator);
  };
  const at::Tensor old = normal({6, 4}), advantage = normal({6}),
                   u = (old + 0.3 * normal({6, 4})).requires_grad_(true);
  const double eps = 0.2;
  const at::Tensor ratio = (u - old).exp(), a = advantage.unsqueeze(1);
  const at::Tensor loss = at::maximum(-a * ratio, -a * ratio.clamp(1 - eps, 1 + eps)).sum();
  loss.backward();
  const auto result = finetune::ddpo_gradient(u, old, advantage, eps);
  EXPECT_NEAR(result.loss.item<double>(), loss.item<double>(), 1e-10);
  EXPECT_LT((result.weights - u.grad()).abs().max().item<double>(), 1e-12);
  EXPECT_GT(result.clip_fraction.item<double>(), 0);
}

TEST(DdpoGradient, AtTheSnapshotTheyAreMinusTheAdvantage) {
  const at::Tensor u = at::zeros({2, 3}), advantage = at::tensor({1.5, -0.5}, at::kDouble);
  const auto result = finetune::ddpo_gradient(u, u, advantage, 1e-6);
  EXPECT_TRUE(at::equal(result.weights, -advantage.unsqueeze(1).expand({2, 3})));
  EXPECT_EQ(result.clip_fraction.item<double>(), 0);
}

}  // namespace
