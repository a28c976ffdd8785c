// What holds for every method.

#include "finetune/policy/methods/policy_methods.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/support/refusal.hpp"

namespace {

using finetune::MethodInput;
using finetune::PolicyMethod;

// Eight trajectories of two prompts; three steps, or one where the entries are independent.
MethodInput random_input(const PolicyMethod& method, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::kDouble).normal_(0, 1, generator);
  };
  const int64_t steps = method.couples_trajectories ? 3 : 1;
  MethodInput input;
  input.log_ratio_old = normal({8, steps});
  input.now.log_ratio = input.log_ratio_old + 0.3 * normal({8, steps});
  if (method.weighs_kl) input.now.kl = normal({8, steps}).abs();
  input.prompt_ids = {0, 0, 0, 0, 1, 1, 1, 1};
  input.labels = method.labels(normal({8}), input.prompt_ids);
  if (!method.couples_trajectories) input.prompt_ids.clear();
  if (method.couples_trajectories) input.step_mask = at::ones({steps}, at::kDouble);
  input.beta = 0.7;
  input.clip_range = 0.2;
  return input;
}

// d loss / d term by central differences.
at::Tensor slopes(const PolicyMethod& method,
                  const MethodInput& input,
                  at::Tensor finetune::StepTerms::*term) {
  const double h = 1e-6;
  const auto loss = [&](int64_t entry, double change) {
    MethodInput moved = input;
    moved.now.*term = (input.now.*term).clone();
    (moved.now.*term).view(-1)[entry].add_(change);
    return method.objective(moved).figures[0].item<double>();
  };
  at::Tensor result = at::zeros_like(input.now.*term);
  for (int64_t i = 0; i < result.numel(); ++i)
    result.view(-1)[i] = (loss(i, h) - loss(i, -h)) / (2 * h);
  return result;
}

at::Tensor or_zero(const at::Tensor& weights, const at::Tensor& like) {
  return weights.defined() ? weights : at::zeros_like(like);
}

TEST(PolicyMethods, WeightsAreTheSlopesOfTheLoss) {
  for (const auto& method : finetune::policy_methods()) {
    ASSERT_EQ(method.figures.at(0), "loss") << method.name;
    for (const uint64_t seed : {1, 2, 3}) {
      const MethodInput input = random_input(method, seed);
      const auto result = method.objective(input);
      ASSERT_EQ(result.figures.numel(), static_cast<int64_t>(method.figures.size())) << method.name;
      const at::Tensor expected = slopes(method, input, &finetune::StepTerms::log_ratio);
      EXPECT_TRUE(at::allclose(or_zero(result.weights.log_ratio, expected), expected, 1e-5, 1e-7))
          << method.name << "\n"
          << result.weights.log_ratio << expected;
      EXPECT_EQ(result.weights.kl.defined(), method.weighs_kl) << method.name;
      if (!method.weighs_kl) continue;
      const at::Tensor of_kl = slopes(method, input, &finetune::StepTerms::kl);
      EXPECT_TRUE(at::allclose(result.weights.kl, of_kl, 1e-5, 1e-7)) << method.name << "\n"
                                                                      << result.weights.kl << of_kl;
    }
  }
}

TEST(PolicyMethods, ABetterTrajectoryBecomesMoreProbable) {
  for (const auto& method : finetune::policy_methods()) {
    MethodInput input = random_input(method, 4);
    input.now.log_ratio = input.log_ratio_old = at::zeros_like(input.log_ratio_old);
    const std::vector<int64_t> prompts = {0, 0, 0, 0, 1, 1, 1, 1};
    input.labels = method.labels(at::tensor({1, 0, 0, 0, 0, 0, 0, 1}, at::kDouble), prompts);
    const at::Tensor slope = method.objective(input).weights.log_ratio.sum(1);
    for (const int64_t i : {0, 7})
      EXPECT_LT(slope[i].item<double>(), slope[3].item<double>()) << method.name;
  }
}

// Whatever its log-ratio is, a trajectory whose reward is not a number does not move the policy.
TEST(PolicyMethods, ARewardThatIsNotANumberLeavesItsTrajectoryOut) {
  for (const auto& method : finetune::policy_methods()) {
    MethodInput input = random_input(method, 5);
    input.now.log_ratio = input.log_ratio_old;
    at::Tensor rewards = at::arange(8, at::kDouble);
    rewards[2] = std::numeric_limits<double>::quiet_NaN();
    input.labels = method.labels(rewards, {0, 0, 0, 0, 1, 1, 1, 1});
    const at::Tensor weights = method.objective(input).weights.log_ratio;
    EXPECT_TRUE(weights.isfinite().all().item<bool>()) << method.name;
    EXPECT_EQ(weights[2].abs().max().item<double>(), 0) << method.name;
    EXPECT_GT(weights[1].abs().max().item<double>(), 0) << method.name;
  }
}

TEST(PolicyMethods, CalibratesInNats) {
  for (const auto& method : finetune::policy_methods()) {
    EXPECT_EQ(method.clip_range_in_nats(0.3, {.steps = 5, .dimensions = 64}), 0.3) << method.name;
    const auto chosen = method.calibrate({.spread = 2,
                                          .beta = 0,
                                          .target_kl = 8,
                                          .clip_range = 0.3,
                                          .chain = {.steps = 5, .dimensions = 64}});
    EXPECT_DOUBLE_EQ(chosen.beta, 0.5) << method.name;  // 2 / sqrt(2 8)
    const auto given = method.calibrate(
        {.spread = 2, .beta = 0.25, .target_kl = 8, .clip_range = 0.3, .chain = {}});
    EXPECT_EQ(given.beta, 0.25) << method.name;
  }
}

TEST(PolicyMethods, EachHasANameOfItsOwnAndAnUnknownOneIsRefused) {
  std::set<std::string> names;
  for (const auto& method : finetune::policy_methods()) {
    EXPECT_TRUE(names.insert(method.name).second) << method.name;
    EXPECT_FALSE(method.summary.empty()) << method.name;
    EXPECT_FALSE(method.couples_trajectories && method.weighs_kl) << method.name;
    EXPECT_EQ(finetune::policy_method(method.name).summary, method.summary);
  }
  const std::string message = refusal([] { finetune::policy_method("prpd"); });
  EXPECT_NE(message.find("method: expected one of prdp, ddpo"), std::string::npos) << message;
  EXPECT_NE(message.find("found 'prpd'"), std::string::npos) << message;
}

}  // namespace
