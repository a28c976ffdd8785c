#include "diffusion/sampling/particles.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace {

using diffusion::Particles;

TEST(Particles, EffectiveSizeByHand) {
  EXPECT_NEAR(diffusion::effective_sample_size({5, 5, 5, 5}), 4, 1e-12);
  EXPECT_NEAR(diffusion::effective_sample_size({0, -1e6}), 1, 1e-12);
  // shares 1/2, 1/4, 1/4: 1 / (1/4 + 1/16 + 1/16)
  EXPECT_NEAR(diffusion::effective_sample_size({std::log(2), 0, 0}), 8.0 / 3, 1e-12);
}

TEST(Particles, SystematicResamplingByHand) {
  // shares 1/2, 1/8, 3/8 of 4: places (0 + u) / 4 ... (3 + u) / 4
  EXPECT_EQ(diffusion::systematic_resample({std::log(4), 0, std::log(3), -1e9}, 0.5),
            (diffusion::ParticleRows{0, 0, 2, 2}));
  EXPECT_EQ(diffusion::systematic_resample({std::log(4), 0, std::log(3), -1e9}, 0.1),
            (diffusion::ParticleRows{0, 0, 1, 2}));
}

TEST(Particles, CountsDifferFromTheirExpectationByLessThanOne) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(0, 2);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> mean(6, 0), weights;
  for (int i = 0; i < 6; ++i) weights.push_back(normal(random));
  double sum = 0;
  for (const double weight : weights) sum += std::exp(weight);
  const int draws = 4000;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<int> counts(6, 0);
    const auto rows = diffusion::systematic_resample(weights, uniform(random));
    ASSERT_EQ(rows.size(), 6u);
    for (const int64_t row : rows) ++counts[static_cast<size_t>(row)];
    for (size_t i = 0; i < 6; ++i) {
      const double expected = 6 * std::exp(weights[i]) / sum;
      EXPECT_LT(std::abs(counts[i] - expected), 1) << i;
      mean[i] += counts[i] / static_cast<double>(draws);
    }
  }
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(mean[i], 6 * std::exp(weights[i]) / sum, 0.03) << i;
}

TEST(Particles, WeightsAreCarriedUntilTheyAreResampled) {
  Particles particles = diffusion::make_particles(4);
  auto weighing = diffusion::weigh(particles, {0.1, 0, 0, 0}, 2, 0.5);
  EXPECT_FALSE(weighing.rows);
  EXPECT_NEAR(particles.log_weights[0], 0.2, 1e-12);
  weighing = diffusion::weigh(particles, {0.3, 0, 0, 0.1}, 2, 0.5);
  EXPECT_NEAR(particles.log_weights[0], 0.6, 1e-12);  // what it stands for now, not 0.2 + 0.6
  EXPECT_NEAR(particles.log_weights[3], 0.2, 1e-12);
  weighing = diffusion::weigh(particles, {9, 0, 0, 0}, 2, 0.5);
  ASSERT_TRUE(weighing.rows);
  EXPECT_EQ(*weighing.rows, (diffusion::ParticleRows{0, 0, 0, 0}));
  EXPECT_EQ(particles.log_weights, (std::vector<double>{0, 0, 0, 0}));
  EXPECT_EQ(particles.potentials, (std::vector<double>{18, 18, 18, 18}));
}

TEST(Particles, AValueThatIsNotFiniteIsTheSmallest) {
  Particles particles = diffusion::make_particles(3);
  const double none = std::numeric_limits<double>::quiet_NaN();
  diffusion::weigh(particles, {none, 1, 2}, 0.5, 0.5);
  EXPECT_EQ(particles.log_weights, (std::vector<double>{0.5, 0.5, 1}));
  diffusion::weigh(particles, {none, none, none}, 0.5, 0.5);
  EXPECT_EQ(particles.log_weights, (std::vector<double>{0, 0, 0}));
}

// A random walk x_0 = 0, x_t ~ N(x_{t-1}, 1), four steps, with exp(strength x_4) as target: the
// values in between are x_t. The ends, weighted, have the mean 4 strength, and what the weights
// come to, over all resamplings, is on average exp(4 strength^2 / 2). 4,000 groups of 8; standard
// errors by hand from the groups.
TEST(Particles, SampleTheTiltedGaussian) {
  const double strength = 0.4;
  const int count = 8, groups = 4000;
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(0, 1);
  std::uniform_real_distribution<double> uniform(0, 1);
  double z_sum = 0, z_squares = 0, weighted = 0;
  for (int group = 0; group < groups; ++group) {
    Particles particles = diffusion::make_particles(count);
    std::vector<double> x(count, 0);
    double log_z = 0;  // of the resamplings so far
    const auto log_mean = [](const std::vector<double>& logs) {
      double sum = 0;
      for (const double value : logs) sum += std::exp(value);
      return std::log(sum / static_cast<double>(logs.size()));
    };
    for (int step = 0; step < 4; ++step) {
      for (double& value : x) value += normal(random);
      Particles before = particles;
      for (size_t i = 0; i < x.size(); ++i)
        before.log_weights[i] += strength * x[i] - before.potentials[i];
      const auto weighing = diffusion::weigh(particles, x, strength, uniform(random));
      if (!weighing.rows) continue;
      log_z += log_mean(before.log_weights);
      std::vector<double> kept;
      for (const int64_t row : *weighing.rows) kept.push_back(x[static_cast<size_t>(row)]);
      x = kept;
    }
    const double z = std::exp(log_z + log_mean(particles.log_weights));
    z_sum += z;
    z_squares += z * z;
    double sum = 0, mean = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      sum += std::exp(particles.log_weights[i]);
      mean += std::exp(particles.log_weights[i]) * x[i];
    }
    weighted += z * mean / sum;
  }
  const double z = z_sum / groups, error = std::sqrt((z_squares / groups - z * z) / groups);
  EXPECT_NEAR(z, std::exp(4 * strength * strength / 2), 4 * error);
  EXPECT_NEAR(weighted / z_sum, 4 * strength, 0.06);
}

TEST(Particles, TheStrengthToResampleHasThatEffectiveSize) {
  const std::vector<double> values = {31.2, 30.1, 29.9, 31.0};
  const double strength = diffusion::strength_to_resample(values);
  std::vector<double> weights;
  for (const double value : values) weights.push_back(strength * value);
  EXPECT_NEAR(diffusion::effective_sample_size(weights), 2.5, 1e-6);
  Particles particles = diffusion::make_particles(4);
  EXPECT_TRUE(diffusion::weigh(particles, values, strength, 0.5).rows);
  // In other units it is another strength, and the weights are the same.
  std::vector<double> thousandths;
  for (const double value : values) thousandths.push_back(value / 1000);
  EXPECT_NEAR(diffusion::strength_to_resample(thousandths) / strength, 1000, 1e-3);
  EXPECT_EQ(diffusion::strength_to_resample({2, 2, 2}), 0);
}

}  // namespace
