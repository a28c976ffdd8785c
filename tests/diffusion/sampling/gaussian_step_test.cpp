#include "diffusion/sampling/gaussian_step.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/base/error.hpp"

namespace {

using diffusion::Prediction;

at::Tensor random(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kDouble) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions(type));
}

std::vector<diffusion::StepCoefficients> sd_steps(int64_t count, double eta, double sigma_min = 0) {
  return diffusion::ddim_steps(diffusion::make_schedule({}), count, eta, sigma_min);
}

double alpha_bar(const diffusion::NoiseLevel& level) { return level.signal * level.signal; }

// Constants of Stable Diffusion 1: T, step, t, t', sigma and |kappa| at eta = 1, computed apart
// from this code.
struct KnownStep {
  int64_t count;
  size_t index;
  int64_t timestep, previous;
  double sigma, kappa;
};

TEST(Step, StableDiffusionsConstants) {
  for (const KnownStep& known :
       {KnownStep{50, 0, 981, 961, 0.4545, 0.2329}, KnownStep{50, 25, 481, 461, 0.2877, 0.1081},
        KnownStep{50, 47, 41, 21, 0.0999, 0.1016}, KnownStep{50, 48, 21, 1, 0.0395, 0.1293},
        KnownStep{50, 49, 1, 0, 0.0207, 0.0207}, KnownStep{20, 18, 51, 1, 0.0406, 0.2205},
        KnownStep{10, 8, 101, 1, 0.0410, 0.3410}}) {
    const auto step = sd_steps(known.count, 1.0)[known.index];
    EXPECT_EQ(step.timestep, known.timestep);
    EXPECT_EQ(step.previous, known.previous);
    EXPECT_NEAR(step.sigma, known.sigma, 6e-5);
    EXPECT_NEAR(-step.kappa, known.kappa, 6e-5);
  }
}

TEST(Step, SetAlphaToOneEndsWithoutNoise) {
  diffusion::SchedulerConfig config;
  config.set_alpha_to_one = true;
  const auto last = diffusion::ddim_steps(diffusion::make_schedule(config), 10, 1.0, 0).back();
  EXPECT_EQ(last.previous, -1);
  EXPECT_EQ(last.there.signal, 1.0);
  EXPECT_EQ(last.there.noise, 0.0);
  EXPECT_EQ(last.sigma, 0.0);
}

TEST(Step, FloorRaisesEverySigmaBelowIt) {
  const auto plain = sd_steps(20, 1.0), floored = sd_steps(20, 1.0, 0.1);
  for (size_t k = 0; k < plain.size(); ++k)
    EXPECT_EQ(floored[k].sigma, std::max(plain[k].sigma, 0.1));
  EXPECT_EQ(sd_steps(20, 0.0)[3].sigma, 0.0);
}

TEST(Step, EtaOneIsTheDdpmPosterior) {
  const at::Tensor x = random({2, 4, 3, 3}, 1), epsilon = random({2, 4, 3, 3}, 2);
  for (const auto& step : sd_steps(50, 1.0)) {
    const double a = alpha_bar(step.here), b = alpha_bar(step.there);
    const at::Tensor x0 = (x - std::sqrt(1 - a) * epsilon) / std::sqrt(a);
    // Ho et al. 2020, eq. 7, with alpha = a / b.
    const at::Tensor mean =
        std::sqrt(b) * (1 - a / b) / (1 - a) * x0 + std::sqrt(a / b) * (1 - b) / (1 - a) * x;
    const auto sampled =
        diffusion::ddim_sample(step, Prediction::kEpsilon, epsilon, x, at::zeros_like(x));
    EXPECT_LT((sampled.mean - mean).abs().max().item<double>(), 1e-10);
    EXPECT_NEAR(step.sigma * step.sigma, (1 - b) / (1 - a) * (1 - a / b), 1e-15);
  }
}

// step_between has another rounding than ddim_steps, whose runs keep their bits.
TEST(Step, BetweenLevelsIsDdimsOnAVariancePreservingPath) {
  for (const double eta : {0.0, 0.6, 1.0}) {
    for (const auto& step : sd_steps(20, eta, 0.05)) {
      const auto between =
          diffusion::step_between(step.here, step.there, Prediction::kEpsilon, eta, 0.05);
      EXPECT_NEAR(between.sigma, step.sigma, 1e-12);
      EXPECT_NEAR(between.from_epsilon, step.from_epsilon, 1e-12);
      EXPECT_NEAR(between.kappa, step.kappa, 1e-12);
    }
  }
}

TEST(Step, LogProbabilityOfAHandMadeCase) {
  const diffusion::StepCoefficients step{.here = {.signal = 0.5, .noise = std::sqrt(0.75)},
                                         .there = {.signal = 0.8, .noise = 0.6},
                                         .sigma = 0.5,
                                         .from_epsilon = std::sqrt(0.11)};
  const at::Tensor x = at::full({1, 1, 1, 2}, 1.0, at::kDouble), epsilon = at::zeros_like(x);
  // x0 = 1 / 0.5 = 2, mean = 0.8 * 2 = 1.6; next = (1.6, 2.6) is (0, 2) sigma away.
  const auto scored =
      diffusion::ddim_log_prob(step, Prediction::kEpsilon, epsilon, x,
                               at::tensor({1.6, 2.6}).to(at::kDouble).view({1, 1, 1, 2}));
  EXPECT_NEAR(scored.log_prob.item<double>(), -2.0 - 2 * (std::log(0.5) + 0.5 * std::log(2 * M_PI)),
              1e-9);
}

TEST(Step, ScoringASampledStepGivesItsLogProbabilityBitForBit) {
  const at::Tensor x = random({3, 4, 8, 8}, 3, at::kFloat),
                   output = random({3, 4, 8, 8}, 4, at::kFloat);
  const at::Tensor noise = random({3, 4, 8, 8}, 5, at::kFloat);
  for (const auto prediction : {Prediction::kEpsilon, Prediction::kV, Prediction::kSample}) {
    for (const auto& step : sd_steps(10, 1.0)) {
      const auto sampled = diffusion::ddim_sample(step, prediction, output, x, noise);
      const auto scored = diffusion::ddim_log_prob(step, prediction, output, x, sampled.next);
      EXPECT_TRUE(at::equal(sampled.mean, scored.mean));
      EXPECT_TRUE(at::equal(sampled.log_prob, scored.log_prob));
    }
  }
}

TEST(Step, EtaZeroNeedsNoNoiseAndHasNoLogProbability) {
  const at::Tensor x = random({1, 4, 2, 2}, 3), output = random({1, 4, 2, 2}, 4);
  const auto step =
      diffusion::ddim_sample(sd_steps(10, 0.0)[2], Prediction::kEpsilon, output, x, {});
  EXPECT_TRUE(at::equal(step.next, step.mean));
  EXPECT_FALSE(step.log_prob.defined());
}

TEST(Step, KappaIsTheSlopeOfTheMean) {
  const at::Tensor x = random({1, 1, 2, 2}, 3), epsilon = random({1, 1, 2, 2}, 4),
                   zero = at::zeros_like(x);
  for (const double sigma_min : {0.0, 0.3}) {
    for (const auto& step : sd_steps(20, 1.0, sigma_min)) {
      const auto at0 = diffusion::ddim_sample(step, Prediction::kEpsilon, epsilon, x, zero);
      const auto at1 = diffusion::ddim_sample(step, Prediction::kEpsilon, epsilon + 1, x, zero);
      EXPECT_NEAR((at1.mean - at0.mean).mean().item<double>(), step.kappa, 1e-10);
    }
  }
}

TEST(Step, TheThreePredictionsDescribeOneStep) {
  const at::Tensor x0 = random({2, 4, 2, 2}, 6), noise = random({2, 4, 2, 2}, 7);
  const auto step = sd_steps(20, 0.5)[7];
  const auto [a, s] = step.here;
  const at::Tensor x = a * x0 + s * noise, v = a * noise - s * x0;
  const auto by_epsilon = diffusion::ddim_sample(step, Prediction::kEpsilon, noise, x, noise);
  EXPECT_TRUE(at::allclose(diffusion::ddim_sample(step, Prediction::kV, v, x, noise).next,
                           by_epsilon.next, 1e-9, 1e-12));
  EXPECT_TRUE(at::allclose(diffusion::ddim_sample(step, Prediction::kSample, x0, x, noise).next,
                           by_epsilon.next, 1e-9, 1e-12));
}

TEST(LogRatio, IsTheDifferenceOfLogProbabilities) {
  const auto step = sd_steps(10, 1.0)[8];
  const at::Tensor x = random({3, 4, 2, 2}, 1), a = random({3, 4, 2, 2}, 2),
                   b = random({3, 4, 2, 2}, 3);
  const auto sampled =
      diffusion::ddim_sample(step, Prediction::kEpsilon, a, x, random({3, 4, 2, 2}, 4));
  const auto other = diffusion::ddim_log_prob(step, Prediction::kEpsilon, b, x, sampled.next);
  const at::Tensor ratio = diffusion::log_ratio(sampled.mean, other.mean, sampled.next, step.sigma);
  EXPECT_TRUE(at::allclose(ratio, sampled.log_prob - other.log_prob, 1e-9, 1e-9));
}

TEST(LogRatio, KeepsSmallDifferencesInSinglePrecision) {
  const at::Tensor mean = random({1, 4, 64, 64}, 1), next = mean + 0.02 * random({1, 4, 64, 64}, 2);
  const at::Tensor near = mean + 1e-6 * random({1, 4, 64, 64}, 3);
  const at::Tensor exact =
      diffusion::log_ratio(near.to(at::kFloat).to(at::kDouble), mean.to(at::kFloat).to(at::kDouble),
                           next.to(at::kFloat).to(at::kDouble), 0.02);
  const at::Tensor single =
      diffusion::log_ratio(near.to(at::kFloat), mean.to(at::kFloat), next.to(at::kFloat), 0.02);
  EXPECT_NEAR(single.item<double>(), exact.item<double>(),
              1e-6 * std::abs(exact.item<double>()) + 1e-7);
}

TEST(LogRatio, ItsMeanIsTheDivergence) {
  const double sigma = 0.3;
  const at::Tensor a = random({1, 2, 2, 2}, 1), b = a + 0.1 * random({1, 2, 2, 2}, 2);
  const at::Tensor next = a + sigma * random({200000, 2, 2, 2}, 3);
  const double expected = diffusion::step_kl(a, b, sigma).item<double>();
  const double spread = std::sqrt(2 * expected / 200000);  // the ratio's variance is 2 KL
  EXPECT_NEAR(diffusion::log_ratio(a, b, next, sigma).mean().item<double>(), expected, 5 * spread);
}

TEST(LogRatio, GradientAgreesWithFiniteDifferences) {
  const auto step = sd_steps(10, 1.0)[5];
  const at::Tensor x = random({1, 1, 2, 2}, 1), next = random({1, 1, 2, 2}, 2),
                   reference = random({1, 1, 2, 2}, 3);
  const auto ratio_at = [&](const at::Tensor& output) {
    return diffusion::log_ratio(
               diffusion::ddim_log_prob(step, Prediction::kV, output, x, next).mean, reference,
               next, step.sigma)
        .sum();
  };
  const at::Tensor output = random({1, 1, 2, 2}, 4).requires_grad_(true);
  ratio_at(output).backward();
  at::NoGradGuard no_grad;
  const at::Tensor change = random({1, 1, 2, 2}, 5), h = at::scalar_tensor(1e-6, at::kDouble);
  const double numeric =
      ((ratio_at(output + h * change) - ratio_at(output - h * change)) / (2 * h)).item<double>();
  EXPECT_NEAR((output.grad() * change).sum().item<double>(), numeric, 1e-6 * std::abs(numeric));
}

TEST(Step, WrongShapesAndRangesThrow) {
  const auto step = sd_steps(10, 1.0)[0];
  const at::Tensor x = at::zeros({2, 4, 2, 2});
  EXPECT_THROW(diffusion::ddim_log_prob(step, Prediction::kV, x, x, at::zeros({1, 4, 2, 2})),
               c10::Error);
  EXPECT_THROW(diffusion::ddim_log_prob(step, Prediction::kV, at::zeros({2, 8, 2, 2}), x, x),
               c10::Error);
  EXPECT_THROW(diffusion::log_ratio(x, x, x, 0.0), c10::Error);
  EXPECT_THROW(sd_steps(10, 1.5), c10::Error);
}

}  // namespace
