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

TEST(GradientCosines, PolicyGradientsPointTheSameWay) {
  const auto result = cosines_of({.policy = finetune::policy_methods()});
  EXPECT_GT(result.cosines.min().item<double>(), 0.5) << finetune::cosines_text(result);
}

TEST(GradientCosines, TheMethodsOfAllRowsPointTheSameWay) {
  const auto result = cosines_of(all_methods());
  EXPECT_EQ(result.methods.size(), finetune::policy_methods().size() +
                                       finetune::forward_methods().size() +
                                       finetune::draft_methods().size());
  EXPECT_GT(result.cosines.min().item<double>(), 0) << finetune::cosines_text(result);
  EXPECT_LT((result.cosines.diagonal() - 1).abs().max().item<double>(), 1e-9);
  EXPECT_LT((result.cosines - result.cosines.t()).abs().max().item<double>(), 1e-12);
}

TEST(GradientCosines, AWrongSignAndAWrongScaleShow) {
  const PolicyMethod ddpo = finetune::policy_method("ddpo");
  const auto result = cosines_of({.policy = {ddpo, turned(ddpo)}});
  EXPECT_NEAR(result.cosines[0][1].item<double>(), -1, 1e-6);
  EXPECT_NEAR((result.norms[1] / result.norms[0]).item<double>(), 10, 1e-4);
}

TEST(GradientCosines, SoTheyDoInAForwardMethodAndInTheRewardThatAGradientFollows) {
  const auto& forward = finetune::forward_methods();
  for (const auto& method : forward) {
    const auto result = cosines_of({.policy = {finetune::policy_method("ddpo")},
                                    .forward = {by_default(method), by_default(turned(method))}});
    EXPECT_LT(result.cosines[0][2].item<double>(), 0) << finetune::cosines_text(result);
    EXPECT_NEAR(result.cosines[1][2].item<double>(), -1, 1e-6) << method.name;
    EXPECT_NEAR((result.norms[2] / result.norms[1]).item<double>(), 10, 1e-4) << method.name;
  }
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
