#include "finetune/compare/gradient_cosines.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::PolicyMethod;

finetune::GradientCosines cosines_of(const std::vector<PolicyMethod>& methods) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.train_full = true;
  config.images_per_prompt = 8;
  return finetune::gradient_cosines(tests::tiny_task(), config, methods);
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

TEST(GradientCosines, TheMethodsOfAllRowsPointTheSameWay) {
  const auto result = cosines_of(finetune::policy_methods());
  EXPECT_GT(result.cosines.min().item<double>(), 0.5) << finetune::cosines_text(result);
  EXPECT_LT((result.cosines.diagonal() - 1).abs().max().item<double>(), 1e-9);
  EXPECT_LT((result.cosines - result.cosines.t()).abs().max().item<double>(), 1e-12);
}

TEST(GradientCosines, AWrongSignAndAWrongScaleShow) {
  const PolicyMethod ddpo = finetune::policy_method("ddpo");
  const auto result = cosines_of({ddpo, turned(ddpo)});
  EXPECT_NEAR(result.cosines[0][1].item<double>(), -1, 1e-6);
  EXPECT_NEAR((result.norms[1] / result.norms[0]).item<double>(), 10, 1e-4);
}

TEST(GradientCosines, TheTableHasALineForEachMethod) {
  finetune::GradientCosines result{{"a", "b"},
                                   at::tensor({1.0, -0.25, -0.25, 1.0}, at::kDouble).view({2, 2}),
                                   at::tensor({2.0, 0.5}, at::kDouble)};
  EXPECT_EQ(finetune::cosines_text(result),
            "                 a        b     norm\n"
            "a            1.000   -0.250        2\n"
            "b           -0.250    1.000      0.5\n");
}

TEST(GradientCosines, RefusesARewardThatDoesNotDiffer) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards[0].reward.score = [](const rewards::RewardBatch& batch) {
    return at::ones({batch.images.size(0)});
  };
  EXPECT_THROW(finetune::gradient_cosines(task, tests::tiny_config(), finetune::policy_methods()),
               data::BadInput);
}

}  // namespace
