#include "diffusion/sampling/step_kinds.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "diffusion/sampling/flow_levels.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/refusal.hpp"

namespace {

using diffusion::chain_steps;
using diffusion::step_kind_of;
using diffusion::step_kinds;

diffusion::NoiseSchedule flow_schedule(double shift = 3) {
  diffusion::SchedulerConfig config;
  config.class_name = "FlowMatchEulerDiscreteScheduler";
  config.sampler = diffusion::sampler_of_class(config.class_name);
  config.prediction_type = diffusion::Prediction::kFlow;
  config.flow = diffusion::FlowConfig{.shift = shift};
  return diffusion::make_schedule(config);
}

TEST(StepKinds, TheirStandardDeviationsAreThePublishedOnes) {
  // Ten steps of Stable Diffusion 3's table: 1, .960129, ... .464876, .278049, .008929, 0.
  const auto sigmas = [](const char* kind, double amount) {
    std::vector<double> values;
    for (const auto& step : chain_steps(flow_schedule(), 10, step_kind_of(kind, "kind"), amount, 0))
      values.push_back(step.sigma);
    return values;
  };
  const auto flow = sigmas("flow_sde", 0.7);
  EXPECT_NEAR(flow[0], 0.7, 1e-3);
  EXPECT_NEAR(flow[7], 0.282, 1e-3);
  EXPECT_NEAR(flow[8], 0.225, 1e-3);
  EXPECT_NEAR(flow[9], 0.006, 1e-3);
  const auto dance = sigmas("dance_sde", 0.3);
  EXPECT_NEAR(dance[0], 0.060, 1e-3);
  EXPECT_NEAR(dance[8], 0.156, 1e-3);
  const auto cps = sigmas("cps", 0.8);
  EXPECT_NEAR(cps[0], 0.913, 1e-3);
  EXPECT_NEAR(cps[8], 0.0085, 1e-4);
  EXPECT_EQ(cps[9], 0);
}

// Flow-GRPO's mean: x (1 + s^2 / (2 t h) (-h)) ... written with the score, in another form than
// here: x - h v - s^2 / 2 (x + (1 - t) v) / t.
TEST(StepKinds, TheMeanOfAnSdeIsTheDriftWithTheScore) {
  const auto steps = chain_steps(flow_schedule(), 5, step_kind_of("flow_sde", "kind"), 0.7, 0);
  const double x = 0.7, v = -0.4;
  for (const auto& step : steps) {
    const double t = step.here.noise, h = t - step.there.noise, s2 = step.sigma * step.sigma;
    const double expected = x - h * v - s2 / 2 * (x + (1 - t) * v) / t;
    const double x0 = x - t * v, epsilon = x + (1 - t) * v;
    EXPECT_NEAR(step.there.signal * x0 + step.from_epsilon * epsilon, expected, 1e-12);
    EXPECT_NEAR(step.kappa, -t * step.there.signal + (1 - t) * step.from_epsilon, 1e-12);
  }
}

TEST(StepKinds, WithoutNoiseEveryOneIsTheEulerStep) {
  const auto schedule = flow_schedule();
  const auto euler = diffusion::ddim_steps(schedule, 6, 0, 0);
  for (const auto& kind : step_kinds()) {
    const auto steps = chain_steps(schedule, 6, kind, 0, 0);
    ASSERT_EQ(steps.size(), euler.size());
    for (size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(steps[i].sigma, 0) << kind.name;
      EXPECT_EQ(steps[i].timestep, euler[i].timestep) << kind.name;
      EXPECT_NEAR(steps[i].from_epsilon, euler[i].from_epsilon, 1e-12) << kind.name;
      EXPECT_NEAR(steps[i].kappa, euler[i].kappa, 1e-12) << kind.name;
    }
  }
}

TEST(StepKinds, CpsKeepsTheNextLevelsNoise) {
  for (const auto& step : chain_steps(flow_schedule(), 4, step_kind_of("cps", "kind"), 0.8, 0)) {
    EXPECT_NEAR(std::hypot(step.sigma, step.from_epsilon), step.there.noise, 1e-12);
  }
}

TEST(StepKinds, DdimIsWhatItWas) {
  const auto own = chain_steps(flow_schedule(), 7, step_kinds().front(), 0.5, 0.01),
             other = diffusion::ddim_steps(flow_schedule(), 7, 0.5, 0.01);
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ(own[i].sigma, other[i].sigma);
    EXPECT_EQ(own[i].from_epsilon, other[i].from_epsilon);
  }
}

TEST(StepKinds, BetasAndUnknownNamesAreRefused) {
  const auto betas = diffusion::make_schedule({});
  EXPECT_NE(refusal([&] {
              chain_steps(betas, 4, step_kind_of("cps", "kind"), 0.8, 0);
            }).find("flow matching"),
            std::string::npos);
  EXPECT_NE(refusal([] { step_kind_of("sde", "step_kind"); }).find("flow_sde"), std::string::npos);
}

}  // namespace
