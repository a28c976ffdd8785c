#include "diffusion/sampling/delta_guidance.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "diffusion/sampling/sampler_catalog.hpp"

namespace {

using diffusion::Denoiser;
using diffusion::Prediction;

diffusion::NoiseSchedule schedule_predicting(Prediction prediction) {
  diffusion::SchedulerConfig config;
  config.prediction_type = prediction;
  return diffusion::make_schedule(config);
}

at::Tensor latents() { return at::arange(2 * 4 * 3 * 3, at::kDouble).view({2, 4, 3, 3}).cos(); }

Denoiser constant(double value) {
  return [value](const at::Tensor& x, double) { return at::full_like(x, value); };
}

TEST(DeltaGuidance, AddsTheDifferencesByHand) {
  const auto schedule = schedule_predicting(Prediction::kEpsilon);
  const auto led =
      diffusion::delta_guided(constant(1), schedule,
                              {{.tuned = constant(0.5), .reference = constant(0.2), .strength = 2},
                               {.tuned = constant(3), .reference = constant(1), .strength = -0.5}});
  // 1 + 2 (0.5 - 0.2) - 0.5 (3 - 1)
  EXPECT_TRUE(at::allclose(led(latents(), 400), at::full_like(latents(), 0.6)));
}

TEST(DeltaGuidance, LeadsBetweenItsTimestepsAlone) {
  const auto schedule = schedule_predicting(Prediction::kEpsilon);
  const auto led = diffusion::delta_guided(
      constant(1), schedule,
      {{.tuned = constant(3), .reference = constant(1), .least = 200, .most = 400}});
  for (const auto& [timestep, expected] :
       {std::pair{199., 1.}, {200., 3.}, {400., 3.}, {401., 1.}, {0., 1.}})
    EXPECT_EQ(led(latents(), timestep).max().item<double>(), expected) << timestep;
}

TEST(DeltaGuidance, AtStrengthOneOverItsReferenceItIsTheTunedNetwork) {
  const auto schedule = schedule_predicting(Prediction::kV);
  const Denoiser base = [](const at::Tensor& x, double t) { return at::sin(x + t); };
  const Denoiser tuned = [](const at::Tensor& x, double t) { return at::cos(x - t); };
  const auto led = diffusion::delta_guided(
      base, schedule,
      {{.tuned = tuned, .reference = base, .prediction = Prediction::kV, .strength = 1}});
  EXPECT_TRUE(at::allclose(led(latents(), 300), tuned(latents(), 300), 1e-12, 1e-12));
}

// A delta of networks that predict epsilon, for one that says v: the epsilon that follows moves by
// just that.
TEST(DeltaGuidance, ConvertsWhatItsNetworksPredict) {
  for (const Prediction wanted : {Prediction::kV, Prediction::kSample}) {
    const auto schedule = schedule_predicting(wanted);
    const auto level = diffusion::level_between(schedule, 600);
    const auto led = diffusion::delta_guided(
        constant(0.3), schedule,
        {{.tuned = constant(0.7), .reference = constant(0.2), .strength = 0.5}});
    const auto epsilon = [&](const Denoiser& denoiser) {
      return diffusion::predict(wanted, level, denoiser(latents(), 600), latents()).epsilon;
    };
    EXPECT_TRUE(at::allclose(epsilon(led) - epsilon(constant(0.3)), at::full_like(latents(), 0.25),
                             1e-9, 1e-9));
  }
}

// Both chains of one variance: the mean of a DDIM step moves by strength times the difference of
// the two means.
TEST(DeltaGuidance, TheMeansOfAStepAdd) {
  const auto schedule = schedule_predicting(Prediction::kEpsilon);
  const auto end = [&](const Denoiser& denoiser) {
    std::vector<at::Generator> none;
    return diffusion::sample(denoiser, latents(), schedule, none,
                             {.sampler = &diffusion::kDdim, .steps = 1});
  };
  const auto led = diffusion::delta_guided(
      constant(1), schedule, {{.tuned = constant(0.5), .reference = constant(0.2), .strength = 3}});
  EXPECT_TRUE(at::allclose(end(led) - end(constant(1)),
                           3 * (end(constant(0.5)) - end(constant(0.2))), 1e-9, 1e-9));
}

}  // namespace
