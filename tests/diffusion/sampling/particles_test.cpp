#include "diffusion/sampling/particles.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <utility>

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
// come to, over all resamplings, is on average exp(4 strength^2 / 2).
struct Toy {
  double strength = 0.4;
  int count = 8, groups = 4000;
  bool forgets = false;  // the weights of a rating that does not resample are thrown away
};
struct ToyMeans {
  double z = 0, error = 0;  // what the weights come to, and its standard error over groups
  double end = 0;           // mean of the ends
};

double log_mean_exp(const std::vector<double>& logs) {
  double sum = 0;
  for (const double value : logs) sum += std::exp(value);
  return std::log(sum / static_cast<double>(logs.size()));
}

// One group's log z, and the weighted mean of its ends.
std::pair<double, double> run_group(const Toy& toy, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, 1);
  std::uniform_real_distribution<double> uniform(0, 1);
  Particles particles = diffusion::make_particles(toy.count);
  std::vector<double> x(static_cast<size_t>(toy.count), 0);
  double log_z = 0;  // of the resamplings so far
  for (int step = 0; step < 4; ++step) {
    for (double& value : x) value += normal(random);
    Particles before = particles;
    for (size_t i = 0; i < x.size(); ++i)
      before.log_weights[i] += toy.strength * x[i] - before.potentials[i];
    const auto weighing = diffusion::weigh(particles, x, toy.strength, uniform(random));
    if (!weighing.rows) {
      if (toy.forgets) particles.log_weights.assign(x.size(), 0);
      continue;
    }
    log_z += log_mean_exp(before.log_weights);
    std::vector<double> kept;
    for (const int64_t row : *weighing.rows) kept.push_back(x[static_cast<size_t>(row)]);
    x = kept;
  }
  double sum = 0, mean = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += std::exp(particles.log_weights[i]);
    mean += std::exp(particles.log_weights[i]) * x[i];
  }
  return {log_z + log_mean_exp(particles.log_weights), mean / sum};
}

ToyMeans run_toy(const Toy& toy) {
  std::mt19937_64 random(3);
  double sum = 0, squares = 0, ends = 0;
  for (int group = 0; group < toy.groups; ++group) {
    const auto [log_z, end] = run_group(toy, random);
    const double z = std::exp(log_z);
    sum += z;
    squares += z * z;
    ends += z * end;
  }
  const double z = sum / toy.groups;
  return {
      .z = z, .error = std::sqrt((squares / toy.groups - z * z) / toy.groups), .end = ends / sum};
}

TEST(Particles, SampleTheTiltedGaussian) {
  const Toy toy;
  const ToyMeans found = run_toy(toy);
  EXPECT_NEAR(found.z, std::exp(4 * toy.strength * toy.strength / 2), 4 * found.error);
  EXPECT_NEAR(found.end, 4 * toy.strength, 0.06);
}

// The released code of FK steering, with --adaptive_resampling, forgets the weights of a rating
// that does not resample, while the potentials that they were made from go on.
TEST(Particles, WeightsThatAreForgottenMissTheTarget) {
  const ToyMeans carried = run_toy({}), forgotten = run_toy({.forgets = true});
  EXPECT_GT(carried.end, 4 * 0.4 - 0.06);
  EXPECT_LT(forgotten.end, 4 * 0.4 - 0.2);
}

// It also cuts weights off at 1e10, so that at strength 10 all values above 2.3 count the same.
TEST(Particles, LargeWeightsStayApart) {
  Particles particles = diffusion::make_particles(2);
  const auto weighing = diffusion::weigh(particles, {30, 31}, 10, 0.5);
  ASSERT_TRUE(weighing.rows);
  EXPECT_EQ(*weighing.rows, (diffusion::ParticleRows{1, 1}));
}

TEST(Particles, ACandidateIsChosenByHand) {
  EXPECT_EQ(diffusion::choose_candidate({1, 3, 3, 2}, 0, 0.9), 1);
  // exp(strength value) is 1, 3, 4: shares 1/8, 3/8, 4/8
  const std::vector<double> values = {0, std::log(3) / 2, std::log(4) / 2};
  EXPECT_EQ(diffusion::choose_candidate(values, 2, 0.12), 0);
  EXPECT_EQ(diffusion::choose_candidate(values, 2, 0.13), 1);
  EXPECT_EQ(diffusion::choose_candidate(values, 2, 0.49), 1);
  EXPECT_EQ(diffusion::choose_candidate(values, 2, 0.51), 2);
  EXPECT_EQ(diffusion::choose_candidate(values, 2, 0.999999), 2);
  const double none = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(diffusion::choose_candidate({none, 1, 2}, 0, 0), 2);
  EXPECT_EQ(diffusion::choose_candidate({none, none}, 0, 0), 0);
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
