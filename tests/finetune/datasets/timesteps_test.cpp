#include "finetune/datasets/timesteps.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace {

TEST(Timesteps, OneLiesInEachStretch) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  for (int draw = 0; draw < 50; ++draw) {
    const at::Tensor t = finetune::spread_timesteps(4, 1000, generator);
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(t[i].item<int64_t>() / 250, i) << "draw " << draw << ": " << t;
    EXPECT_EQ(t[3].item<int64_t>() - t[0].item<int64_t>(), 750);
  }
}

TEST(Timesteps, EachIsUniform) {
  at::Generator generator = at::detail::createCPUGenerator(4);
  std::vector<at::Tensor> draws;
  for (int draw = 0; draw < 4000; ++draw)
    draws.push_back(finetune::spread_timesteps(1, 10, generator));
  const at::Tensor counts = at::cat(draws).bincount({}, 10).to(at::kDouble);
  EXPECT_EQ(counts.size(0), 10);
  EXPECT_LT((counts - 400).abs().max().item<double>(), 100) << counts;  // 5 standard deviations: 95
}

// The weights bound the same error of x0, whatever the network predicts.
TEST(MinSnrWeights, OfAPredictionOfVByHand) {
  diffusion::SchedulerConfig config;
  config.prediction_type = diffusion::Prediction::kV;
  config.rescale_betas_zero_snr = true;
  const auto schedule = diffusion::make_schedule(config);
  const double abar = schedule.alphas_cumprod[0], snr = abar / (1 - abar);
  const at::Tensor weights = finetune::min_snr_weights(schedule, at::tensor({0, 999}), 5);
  EXPECT_NEAR(weights[0].item<double>(), 5 / (snr + 1), 1e-6);
  EXPECT_EQ(weights[1].item<double>(), 0);  // no signal: nothing can be learnt of the image
  EXPECT_TRUE(
      at::equal(finetune::min_snr_weights(schedule, at::tensor({0, 999}), 0), at::ones({2})));
}

TEST(X0ErrorScales, AreThoseOfThePrediction) {
  diffusion::SchedulerConfig config;
  for (const auto prediction : {diffusion::Prediction::kEpsilon, diffusion::Prediction::kV,
                                diffusion::Prediction::kSample}) {
    config.prediction_type = prediction;
    const auto schedule = diffusion::make_schedule(config);
    const auto level = diffusion::level_at(schedule, 600);
    const double expected = prediction == diffusion::Prediction::kEpsilon
                                ? level.noise / level.signal
                            : prediction == diffusion::Prediction::kV ? level.noise
                                                                      : 1;
    EXPECT_NEAR(finetune::x0_error_scales(schedule)[600].item<double>(), expected, 1e-12);
  }
}

}  // namespace
