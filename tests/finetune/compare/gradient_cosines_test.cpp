#include "finetune/compare/gradient_cosines.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::PolicyMethod;

finetune::GradientCosines cosines_of(const finetune::ComparedMethods& methods,
                                     const finetune::TrainingTask& task = tests::tiny_task()) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.train_full = true;
  config.images_per_prompt = 8;
  return finetune::gradient_cosines(task, config, methods);
}

finetune::ForwardConfig by_default(const finetune::ForwardMethod& method) {
  finetune::ForwardConfig config;
  config.method = method;
  return config;
}

finetune::ComparedMethods all_methods() {
  finetune::ComparedMethods all{.policy = finetune::policy_methods(),
                                .draft = finetune::draft_methods()};
  for (const auto& method : finetune::forward_methods()) all.forward.push_back(by_default(method));
  return all;
}

// A method that climbs down where `method` climbs up, ten times as steeply.
PolicyMethod turned(PolicyMethod method) {
  const auto objective = method.objective;
  method.name = "turned";
  method.objective = [objective](const finetune::MethodInput& input) {
    auto result = objective(input);
    result.weights.log_ratio = -10 * result.weights.log_ratio;
    return result;
  };
  return method;
}

// The same of a forward-process method.
finetune::ForwardMethod turned(finetune::ForwardMethod method) {
  const auto objective = method.objective;
  method.name = "turned";
  method.objective = [objective](const finetune::ForwardInput& input) {
    auto result = objective(input);
    for (auto& weight : result.weights) weight = -10 * weight;
    return result;
  };
  return method;
}

// The cosines of the rows [first, first + count) with [start, start + others).
at::Tensor block(const finetune::GradientCosines& result,
                 int64_t first,
                 int64_t count,
                 int64_t start,
                 int64_t others) {
  return result.cosines.narrow(0, first, count).narrow(1, start, others);
}

// Between the methods of clean images and the others nothing is expected here: the denoising error
// of a network with random weights is no likelihood.
TEST(GradientCosines, TheMethodsOfAKindPointTheSameWayAndThatOfTheReward) {
  const auto methods = all_methods();
  const auto result = cosines_of(methods);
  const auto policy = static_cast<int64_t>(methods.policy.size()),
             forward = static_cast<int64_t>(methods.forward.size()),
             draft = static_cast<int64_t>(methods.draft.size()), last = policy + forward;
  ASSERT_EQ(static_cast<int64_t>(result.methods.size()), last + draft);
  const std::string text = finetune::cosines_text(result);
  EXPECT_GT(block(result, 0, policy, 0, policy).min().item<double>(), 0.5) << text;
  EXPECT_GT(block(result, policy, forward, policy, forward).min().item<double>(), 0) << text;
  EXPECT_GT(block(result, last, draft, last, draft).min().item<double>(), 0.5) << text;
  EXPECT_GT(block(result, 0, policy, last, draft).min().item<double>(), 0) << text;
  EXPECT_LT((result.cosines.diagonal() - 1).abs().max().item<double>(), 1e-9);
  EXPECT_LT((result.cosines - result.cosines.t()).abs().max().item<double>(), 1e-12);
}

TEST(GradientCosines, AWrongSignAndAWrongScaleShow) {
  const PolicyMethod ddpo = finetune::policy_method("ddpo");
  const auto result = cosines_of({.policy = {ddpo, turned(ddpo)}});
  EXPECT_NEAR(result.cosines[0][1].item<double>(), -1, 1e-6);
  EXPECT_NEAR((result.norms[1] / result.norms[0]).item<double>(), 10, 1e-4);
}

TEST(GradientCosines, SoTheyDoInAForwardMethod) {
  finetune::ComparedMethods methods;
  for (const auto& method : finetune::forward_methods())
    methods.forward.push_back(by_default(method));
  const auto count = static_cast<int64_t>(methods.forward.size());
  for (const auto& method : finetune::forward_methods())
    methods.forward.push_back(by_default(turned(method)));
  const auto result = cosines_of(methods);
  const std::string text = finetune::cosines_text(result);
  EXPECT_LT(block(result, 0, count, count, count).max().item<double>(), 0) << text;
  const at::Tensor ratio = result.norms.narrow(0, count, count) / result.norms.narrow(0, 0, count);
  EXPECT_LT((ratio - 10).abs().max().item<double>(), 1e-3) << text;
}

TEST(GradientCosines, SoItDoesInTheRewardsGradient) {
  finetune::TrainingTask task = tests::tiny_task();
  // A gradient of the wrong sign, of a score of the right one.
  const auto redness = task.rewards[0].reward.score;
  task.rewards[0].reward.score = [redness](const rewards::RewardBatch& batch) {
    const at::Tensor score = redness(batch);
    return 2 * score.detach() - score;
  };
  const auto result = cosines_of(
      {.policy = {finetune::policy_method("ddpo")}, .draft = finetune::draft_methods()}, task);
  EXPECT_LT(result.cosines[0].slice(0, 1).max().item<double>(), 0)
      << finetune::cosines_text(result);
}

TEST(GradientCosines, MethodsThatNeedAGradientAreLeftOutWhereTheRewardHasNone) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards[0].reward.info.differentiable = false;
  const auto result = cosines_of(
      {.policy = {finetune::policy_method("ddpo")}, .draft = finetune::draft_methods()}, task);
  EXPECT_EQ(result.methods, std::vector<std::string>{"ddpo"});
}

TEST(GradientCosines, TheTableHasALineForEachMethod) {
  finetune::GradientCosines result{{"a", "b"},
                                   at::tensor({1.0, -0.25, -0.25, 1.0}, at::kDouble).view({2, 2}),
                                   at::tensor({2.0, 0.5}, at::kDouble)};
  EXPECT_EQ(finetune::cosines_text(result),
            "                   a         b      norm\n"
            "a              1.000    -0.250         2\n"
            "b             -0.250     1.000       0.5\n");
}

TEST(GradientCosines, RefusesARewardThatDoesNotDiffer) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards[0].reward.score = [](const rewards::RewardBatch& batch) {
    return at::ones({batch.images.size(0)});
  };
  EXPECT_THROW(cosines_of({.policy = finetune::policy_methods()}, task), data::BadInput);
}

}  // namespace
