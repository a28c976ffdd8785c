#include "rewards/combine/learnt_weights.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/combine/within_prompt.hpp"

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<int64_t> kFour{0, 0, 0, 0, 1, 1, 1, 1};

// Column 0 the primary. Within both prompts column 1 correlates with it by 0.6, column 2 by -0.8,
// column 3 by 0. Across prompts all of them move together, which must not count.
at::Tensor known_covariances() {
  const at::Tensor a = at::tensor({1.0, 1.0, -1.0, -1.0}, at::kDouble),
                   b = at::tensor({1.0, -1.0, 1.0, -1.0}, at::kDouble);
  const at::Tensor one = at::stack({a, 3 * (0.6 * a + 0.8 * b), -0.8 * a + 0.6 * b, b}, 1);
  return at::cat({one, 5 * one + 100});
}

TEST(LearntWeights, AStepIsByHand) {
  const rewards::WeightLearning learning{.primary = 0, .rate = 0.5, .decay = 0.25, .largest = 1};
  const at::Tensor start = rewards::starting_weights(learning, 4);
  EXPECT_TRUE(start.equal(at::tensor({1.0, 0.0, 0.0, 0.0}, at::kDouble)));
  const at::Tensor once = rewards::stepped_weights(start, known_covariances(), kFour, learning);
  EXPECT_TRUE(at::allclose(once, at::tensor({1.0, 0.3, 0.0, 0.0}, at::kDouble)));
  const at::Tensor twice = rewards::stepped_weights(once, known_covariances(), kFour, learning);
  EXPECT_NEAR(twice[1].item<double>(), 0.3 + 0.3 - 0.25 * 0.3, 1e-12);
}

// eta rho / lambda, clipped to [0, w_max].
TEST(LearntWeights, GoToTheirFixedPoint) {
  for (const double largest : {1.0, 2.0}) {
    const rewards::WeightLearning learning{
        .primary = 0, .rate = 0.2, .decay = 0.1, .largest = largest};
    at::Tensor weights = rewards::starting_weights(learning, 4);
    for (int epoch = 0; epoch < 400; ++epoch)
      weights = rewards::stepped_weights(weights, known_covariances(), kFour, learning);
    EXPECT_DOUBLE_EQ(weights[0].item<double>(), 1);
    EXPECT_NEAR(weights[1].item<double>(), std::min(largest, 0.2 * 0.6 / 0.1), 1e-9);
    EXPECT_DOUBLE_EQ(weights[2].item<double>(), 0);
    EXPECT_NEAR(weights[3].item<double>(), 0, 1e-9);
  }
}

TEST(LearntWeights, LeaveOutWhatThePrimaryDidNotRate) {
  at::Tensor x = known_covariances();
  x[0][0] = kNan;
  x[5][0] = kNan;
  const rewards::WeightLearning learning{.primary = 0, .rate = 1, .decay = 0, .largest = 1};
  const at::Tensor kept = at::tensor({1, 2, 3, 4, 6, 7}, at::kLong);
  const at::Tensor few = x.index_select(0, kept);
  const double rho =
      rewards::within_prompt_correlation(few.select(1, 1), few.select(1, 0), {0, 0, 0, 1, 1, 1});
  const at::Tensor weights =
      rewards::stepped_weights(rewards::starting_weights(learning, 4), x, kFour, learning);
  EXPECT_NEAR(weights[1].item<double>(), rho, 1e-12);
  EXPECT_THROW(rewards::stepped_weights(at::zeros({3}), x, kFour, learning), c10::Error);
}

TEST(LearntWeights, FillThePrimaryWithItsPromptsMean) {
  const at::Tensor x =
      at::tensor({1.0, 7.0, 3.0, 7.0, kNan, 7.0, kNan, 7.0, kNan, 7.0}, at::kDouble).view({5, 2});
  const at::Tensor filled = rewards::with_primary_filled(x, {0, 0, 0, 1, 1}, 0);
  EXPECT_TRUE(filled.select(1, 0).equal(at::tensor({1.0, 3.0, 2.0, 2.0, 2.0}, at::kDouble)));
  EXPECT_TRUE(filled.select(1, 1).equal(x.select(1, 1)));
  EXPECT_TRUE(std::isnan(x[2][0].item<double>()));  // the argument stays
  EXPECT_THROW(rewards::with_primary_filled(x, {0}, 0), c10::Error);
}

TEST(LearntWeights, CountInTheTotalAndAreKeptInNumbers) {
  const rewards::CombineOptions options{.weights = {1, 1, 1, 1},
                                        .learning = {.primary = 0, .rate = 0.5, .decay = 0.25}};
  rewards::CombineState state(at::ones({4}, at::kDouble));
  at::Tensor x = known_covariances();
  EXPECT_TRUE(at::allclose(rewards::combine_rewards(x, kFour, state, options), x.select(1, 0)));
  rewards::observe(state, x, options, kFour);
  EXPECT_NEAR(rewards::combine_rewards(x, kFour, state, options)[0].item<double>(),
              1 + 0.3 * 3 * 1.4, 1e-12);
  x[0][0] = kNan;  // the mean of the others is -1/3
  EXPECT_NEAR(rewards::combine_rewards(x, kFour, state, options)[0].item<double>(),
              -1.0 / 3 + 0.3 * 3 * 1.4, 1e-12);
  rewards::CombineState again(state.spreads);
  rewards::restore_numbers(again, rewards::numbers_of(state), 4, 0);
  EXPECT_TRUE(again.weights.equal(state.weights));
  state.highest = at::tensor({1.0, 1.0, 2.0, 2.0}, at::kDouble);
  rewards::restore_numbers(again, rewards::numbers_of(state), 4, 0);
  EXPECT_TRUE(again.highest.equal(state.highest));
  rewards::restore_numbers(again, {}, 4, 0);
  EXPECT_FALSE(again.weights.defined());
}

}  // namespace
