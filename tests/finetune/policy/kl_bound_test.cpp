#include "finetune/policy/kl_bound.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "finetune/policy/methods/distill_cfg_loss.hpp"
#include "finetune/policy/methods/grpo_loss.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "rewards/combine/limits.hpp"
#include "tests/support/refusal.hpp"

namespace {

using finetune::FinetuneConfig;
using finetune::MethodInput;
using finetune::PolicyMethod;

FinetuneConfig bounded(const std::string& constraints) {
  FinetuneConfig config;
  config.constraints = constraints;
  return config;
}

// Two trajectories of a prompt and of a step.
MethodInput two_entries(double beta, double kl_factor) {
  MethodInput input;
  input.now = {at::tensor({0.3, -0.1}, at::kDouble).view({2, 1}),
               at::tensor({0.5, 2.0}, at::kDouble).view({2, 1})};
  input.log_ratio_old = at::zeros({2, 1}, at::kDouble);
  input.labels = at::tensor({1.0, 0.0}, at::kDouble);
  input.prompt_ids = {0, 0};
  input.step_mask = at::ones({1}, at::kDouble);
  input.beta = beta;
  input.kl_factor = kl_factor;
  return input;
}

// The bound is 20. KL 30 is half above it: e^(0.1 0.5). KL 100 counts as 40: e^0.1 more. KL 10 is
// half below: e^0.05 less.
TEST(KlBound, TheCoefficientsFactorByHand) {
  const double once = finetune::stepped_kl_factor(1, 30, 20, 0.1),
               twice = finetune::stepped_kl_factor(once, 100, 20, 0.1);
  EXPECT_DOUBLE_EQ(once, 1.0512710963760241);
  EXPECT_DOUBLE_EQ(twice, 1.1618342427282831);
  EXPECT_DOUBLE_EQ(finetune::stepped_kl_factor(twice, 10, 20, 0.1), 1.1051709180756477);
}

TEST(KlBound, TheFactorRisesAboveTheBoundAndFallsToOneBelow) {
  double factor = 1;
  for (const double kl : {20.001, 25.0, 1e9, std::numeric_limits<double>::infinity()}) {
    const double next = finetune::stepped_kl_factor(factor, kl, 20, 0.3);
    EXPECT_GT(next, factor) << kl;
    EXPECT_LE(next, factor * std::exp(0.3) * (1 + 1e-12)) << kl;
    factor = next;
  }
  EXPECT_DOUBLE_EQ(finetune::stepped_kl_factor(factor, 20, 20, 0.3), factor);
  for (int i = 0; i < 20; ++i) {
    const double next = finetune::stepped_kl_factor(factor, 5, 20, 0.3);
    EXPECT_TRUE(next < factor || next == 1) << factor;
    factor = next;
  }
  EXPECT_EQ(factor, 1);
  EXPECT_EQ(finetune::stepped_kl_factor(1.5, 1000, 20, 0), 1.5);
  EXPECT_THROW(finetune::stepped_kl_factor(1, std::nan(""), 20, 0.1), c10::Error);
}

TEST(KlBound, StandsBesideConstraintsOnRewards) {
  const std::string both = "a>=2, kl<=20";
  EXPECT_EQ(finetune::parse_kl_bound(both), 20.0);
  EXPECT_EQ(rewards::parse_constraints(both, {"a"}).size(), 1u);
  EXPECT_EQ(finetune::parse_kl_bound("kl_of_mine>=3"), std::nullopt);
  EXPECT_EQ(finetune::parse_kl_bound(""), std::nullopt);
  for (const char* wrong : {"kl=20", "kl>=20", "kl<20", "kl<=-1", "kl<=0", "kl<=nan", "kl<=inf",
                            "kl<=", "kl", "kl<=2x", "kl<=20,kl<=20"})
    EXPECT_NE(refusal([&] { finetune::parse_kl_bound(wrong); }).find("constraints: 'kl"),
              std::string::npos)
        << wrong;
}

TEST(MethodWithKlBound, IsTheMethodWhereThereIsNoBound) {
  const auto grpo = finetune::method_with_kl_bound(finetune::policy_method("grpo"), bounded(""));
  EXPECT_FALSE(grpo.weighs_kl);
  EXPECT_FALSE(finetune::method_with_kl_bound(grpo, bounded("clip_score>=25")).compares_with_start);
}

TEST(MethodWithKlBound, TheFactorMultipliesTheCoefficient) {
  for (const char* name : {"prdp", "dpok"}) {
    const PolicyMethod method =
        finetune::method_with_kl_bound(finetune::policy_method(name), bounded("kl<=20"));
    const auto once = method.objective(two_entries(0.6, 1)).weights,
               factored = method.objective(two_entries(0.2, 3)).weights;
    EXPECT_TRUE(once.log_ratio.allclose(factored.log_ratio)) << name;
    EXPECT_EQ(once.kl.defined(), method.weighs_kl) << name;
    if (!method.weighs_kl) continue;
    EXPECT_TRUE(once.kl.allclose(factored.kl)) << name;
  }
}

// 1 / sqrt(2 20), of which the optimum for advantages of deviation 1 is 20 nats away.
TEST(MethodWithKlBound, GrpoGetsTheCoefficientOfTheBound) {
  const auto weight = [](const finetune::GrpoConfig& config, double factor) {
    const PolicyMethod method =
        finetune::method_with_kl_bound(finetune::grpo_method(config), bounded("kl<=20"));
    EXPECT_TRUE(method.weighs_kl && method.compares_with_start);
    return method.objective(two_entries(1, factor)).weights.kl[0][0].item<double>();
  };
  EXPECT_DOUBLE_EQ(weight({}, 1), 1 / std::sqrt(40.0));
  EXPECT_DOUBLE_EQ(weight({.kl_coefficient = 0.05}, 2), 0.1);
  const finetune::GrpoConfig raw{.prompt_deviation = false};
  EXPECT_NE(refusal([&] { weight(raw, 1); }).find("kl_coefficient: expected one above 0"),
            std::string::npos);
}

TEST(MethodWithKlBound, RefusesMethodsThatHaveNoCoefficientAndImagesOfTheStart) {
  for (const auto& method : {finetune::policy_method("ddpo"), finetune::policy_method("d3po"),
                             finetune::distill_cfg_method()}) {
    EXPECT_EQ(refusal([&] { finetune::method_with_kl_bound(method, bounded("kl<=20")); }),
              "constraints: expected no bound on the KL, since " + method.name +
                  " has no coefficient of the KL; a bound goes with prdp, dpok, grpo");
  }
  FinetuneConfig config = bounded("kl<=20");
  config.offline = true;
  EXPECT_NE(refusal([&] {
              finetune::method_with_kl_bound(finetune::policy_method("prdp"), config);
            }).find("--offline"),
            std::string::npos);
  EXPECT_NE(refusal([] {
              finetune::refuse_kl_bound(bounded("kl<=2"), "raft");
            }).find("since raft measures the KL at evaluations alone"),
            std::string::npos);
}

}  // namespace
