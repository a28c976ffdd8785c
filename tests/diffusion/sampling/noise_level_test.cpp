#include "diffusion/sampling/noise_level.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

using diffusion::NoiseLevel;
using diffusion::Prediction;

constexpr Prediction kAll[] = {Prediction::kEpsilon, Prediction::kV, Prediction::kSample,
                               Prediction::kFlow};

// A level at which the prediction has its meaning.
NoiseLevel level_of(Prediction prediction) {
  return prediction == Prediction::kFlow ? diffusion::flow_level(0.3)
                                         : diffusion::level_of_alpha_bar(0.4);
}

at::Tensor random(uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn({2, 4, 3, 3}, generator, at::TensorOptions(at::kDouble));
}

diffusion::NoiseLevels batch_of(const NoiseLevel& level) {
  const auto column = [](double value) { return at::full({1, 1, 1, 1}, value, at::kDouble); };
  return {.signal = column(level.signal), .noise = column(level.noise)};
}

TEST(NoiseLevel, ByHand) {
  const auto half = diffusion::level_of_alpha_bar(0.64);
  EXPECT_DOUBLE_EQ(half.signal, 0.8);
  EXPECT_DOUBLE_EQ(half.noise, 0.6);
  const auto sigma = diffusion::level_of_sigma(0.75);  // noise is 0.75 of the signal
  EXPECT_DOUBLE_EQ(sigma.signal, 0.8);
  EXPECT_DOUBLE_EQ(sigma.noise, 0.6);
  const auto flow = diffusion::flow_level(0.25);
  EXPECT_EQ(flow.signal, 0.75);
  EXPECT_EQ(flow.noise, 0.25);
  EXPECT_EQ(NoiseLevel{}.signal, 1);
  EXPECT_EQ(NoiseLevel{}.noise, 0);
}

TEST(Predict, FlowsVelocityByHand) {
  // x0 = 2, epsilon = 6 at t = 0.25: x = 3, v = 4.
  const auto predicted =
      diffusion::predict(Prediction::kFlow, diffusion::flow_level(0.25),
                         at::full({1, 1, 1, 1}, 4.0), at::full({1, 1, 1, 1}, 3.0));
  EXPECT_EQ(predicted.x0.item<double>(), 2);
  EXPECT_EQ(predicted.epsilon.item<double>(), 6);
}

TEST(Predict, EveryPredictionReturnsX0AndEpsilon) {
  const at::Tensor x0 = random(1), epsilon = random(2);
  for (const auto prediction : kAll) {
    const NoiseLevel level = level_of(prediction);
    const at::Tensor x = diffusion::add_noise(level, x0, epsilon);
    const auto levels = batch_of(level);
    const at::Tensor output = diffusion::training_target(prediction, levels, x0, epsilon);
    EXPECT_TRUE(at::allclose(diffusion::output_for(prediction, level, x, x0), output));
    for (const auto& predicted : {diffusion::predict(prediction, level, output, x),
                                  diffusion::predict(prediction, levels, output, x)}) {
      EXPECT_TRUE(at::allclose(predicted.x0, x0)) << static_cast<int>(prediction);
      EXPECT_TRUE(at::allclose(predicted.epsilon, epsilon)) << static_cast<int>(prediction);
    }
  }
}

TEST(OutputTransform, IsPredictAsTwoCoefficients) {
  const at::Tensor x = random(3), output = random(4);
  for (const auto prediction : kAll) {
    const NoiseLevel level = level_of(prediction);
    const auto predicted = diffusion::predict(prediction, level, output, x);
    const auto x0 = diffusion::x0_from(prediction, level),
               epsilon = diffusion::epsilon_from(prediction, level);
    EXPECT_TRUE(at::allclose(x0.from_x * x + x0.from_output * output, predicted.x0));
    EXPECT_TRUE(at::allclose(epsilon.from_x * x + epsilon.from_output * output, predicted.epsilon));
  }
}

TEST(AddNoise, KeepsTheDtypeOfX0) {
  const at::Tensor x0 = at::full({1, 1, 1, 1}, 3.0f), noise = at::full({1, 1, 1, 1}, 5.0f);
  const at::Tensor x = diffusion::add_noise(batch_of({.signal = 0.8, .noise = 0.6}), x0, noise);
  EXPECT_EQ(x.scalar_type(), at::kFloat);
  EXPECT_NEAR(x.item<double>(), 5.4, 1e-6);
}

TEST(Predict, ShapesThatDoNotBroadcastThrow) {
  EXPECT_THROW(
      diffusion::predict(Prediction::kV, NoiseLevel{}, at::zeros({1, 4, 2, 2}), at::zeros({3})),
      c10::Error);
}

}  // namespace
