#include "finetune/policy/calibration.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "finetune/policy/methods/policy_methods.hpp"
#include "tests/support/refusal.hpp"

namespace {

// Four steps; the last is outside the objective.
finetune::SamplingPlan small_chain() {
  finetune::SamplingPlan chain;
  chain.steps.resize(4);
  chain.latent_shape = {4, 2, 2};
  chain.mask = at::tensor({1.0, 1.0, 1.0, 0.0}, at::kDouble);
  return chain;
}

TEST(ChooseCalibration, TakesBetaFromTheSpreadAndNamesTheStepsLeftOut) {
  for (const auto& method : finetune::policy_methods()) {
    finetune::FinetuneConfig config;
    config.method = method;
    config.target_kl = 8;
    const auto chosen = finetune::choose_calibration(config, small_chain(), 0.5);
    EXPECT_DOUBLE_EQ(chosen.beta, 0.5 / std::sqrt(2 * 8.0)) << method.name;
    ASSERT_FALSE(chosen.remarks.empty()) << method.name;
    EXPECT_EQ(chosen.remarks.back(), "steps outside the objective: 3 (see --skip_steps)");
    config.beta = 0.3;
    EXPECT_EQ(finetune::choose_calibration(config, small_chain(), 0.5).beta, 0.3) << method.name;
  }
}

TEST(ChooseCalibration, RefusesARewardThatDoesNotDiffer) {
  finetune::FinetuneConfig config;
  config.method = finetune::policy_methods()[0];
  for (const double spread : {0.0, std::numeric_limits<double>::quiet_NaN()}) {
    const std::string said =
        refusal([&] { finetune::choose_calibration(config, small_chain(), spread); });
    EXPECT_NE(said.find("found no difference in the first epoch"), std::string::npos) << said;
  }
}

}  // namespace
