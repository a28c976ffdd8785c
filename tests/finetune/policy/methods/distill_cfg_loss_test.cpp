#include "finetune/policy/methods/distill_cfg_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "finetune/policy/methods/grpo_loss.hpp"

namespace {

using finetune::MethodInput;

// Four images of one step.
MethodInput some_input(const finetune::PolicyMethod& method) {
  auto generator = at::detail::createCPUGenerator(3);
  const auto normal = [&] { return at::empty({4, 1}, at::kDouble).normal_(0, 1, generator); };
  MethodInput input;
  input.log_ratio_old = normal();
  input.now.log_ratio = input.log_ratio_old + 0.1 * normal();
  input.now.error = normal().square();
  input.labels = method.labels(at::tensor({0.1, 0.4, 0.2, 0.3}, at::kDouble), {0, 0, 0, 0});
  input.clip_range = 0.2;
  return input;
}

// Rewards 1 2 3 and 10 14: less their means -1 0 1 and -2 2, whose root mean square is sqrt(2).
TEST(DistillCfgLoss, AdvantagesAreCentredInDeviationsOfTheEpoch) {
  const auto method = finetune::distill_cfg_method();
  const at::Tensor labels =
      method.labels(at::tensor({1.0, 2.0, 3.0, 10.0, 14.0}, at::kDouble), {0, 0, 0, 1, 1});
  const at::Tensor expected = at::tensor({-1.0, 0.0, 1.0, -2.0, 2.0}, at::kDouble) / std::sqrt(2.0);
  EXPECT_TRUE(at::allclose(labels, expected, 1e-5)) << labels;
}

TEST(DistillCfgLoss, IsTheDistanceAndTheScaledPolicyLoss) {
  const auto method = finetune::distill_cfg_method({.guidance_scale = 3, .diversity_scale = 0.5});
  EXPECT_EQ(method.imitated_guidance, 3);
  const MethodInput input = some_input(method);
  const auto found = method.objective(input);
  const auto policy =
      finetune::grpo_method({.prompt_deviation = false, .epoch_deviation = true}).objective(input);
  const double error = input.now.error.sum().item<double>();
  EXPECT_NEAR(found.figures[0].item<double>(), error + 0.5 * policy.figures[0].item<double>(),
              1e-12);
  EXPECT_NEAR(found.figures[1].item<double>(), error, 1e-12);
  EXPECT_TRUE(at::allclose(found.weights.log_ratio, 0.5 * policy.weights.log_ratio));
  EXPECT_TRUE(at::equal(found.weights.error, at::ones({4, 1}, at::kDouble)));
  EXPECT_FALSE(found.weights.kl.defined());
}

TEST(DistillCfgLoss, WithoutAScaleOrALogRatioOnlyTheDistanceCounts) {
  for (const double scale : {0.0, 0.5}) {
    const auto method = finetune::distill_cfg_method({.diversity_scale = scale});
    MethodInput input = some_input(method);
    if (scale > 0) input.now.log_ratio = at::Tensor();
    const auto found = method.objective(input);
    EXPECT_FALSE(found.weights.log_ratio.defined());
    EXPECT_EQ(found.figures[0].item<double>(), input.now.error.sum().item<double>());
    EXPECT_EQ(found.figures.numel(), static_cast<int64_t>(method.figures.size()));
  }
}

}  // namespace
