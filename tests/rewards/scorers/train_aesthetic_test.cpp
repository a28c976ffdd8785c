#include "rewards/scorers/train_aesthetic.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "rewards/evaluation/agreement.hpp"

namespace {

TEST(Pearson, ByHand) {
  const auto x = at::tensor({1.0, 2.0, 3.0});
  EXPECT_NEAR(rewards::pearson(x, 2 * x + 1), 1, 1e-12);
  EXPECT_NEAR(rewards::pearson(x, at::tensor({1.0, 0.0, 2.0})), 0.5, 1e-12);
  EXPECT_EQ(rewards::pearson(x, at::ones({3})), 0);
  EXPECT_THROW(rewards::pearson(at::ones({1}), at::ones({1})), c10::Error);
  EXPECT_THROW(rewards::pearson(x, at::ones({2})), c10::Error);
}

TEST(Spearman, ByHandWithTies) {
  // Ranks 1 2.5 2.5 4 against 1 2 3 4: covariance 4.5, squares 4.5 and 5.
  const double expected = 4.5 / std::sqrt(4.5 * 5.0);
  EXPECT_NEAR(rewards::spearman(at::tensor({1.0, 2.0, 2.0, 9.0}), at::tensor({0.1, 0.2, 0.3, 0.4})),
              expected, 1e-12);
}

TEST(Spearman, DoesNotChangeUnderAnyIncreasingMap) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto x = at::randn({50}, generator), y = x + at::randn({50}, generator);
  EXPECT_NEAR(rewards::spearman(x.exp(), y * y * y), rewards::spearman(x, y), 1e-12);
}

TEST(Agreement, IntervalHoldsTheEstimate) {
  auto generator = at::detail::createCPUGenerator(2);
  const auto x = at::randn({200}, generator), y = x + 0.5 * at::randn({200}, generator);
  const auto found = rewards::agreement(x, y, 200, generator);
  EXPECT_LT(found.spearman_low, found.spearman);
  EXPECT_GT(found.spearman_high, found.spearman);
  EXPECT_NEAR(found.mean_absolute_error, (x - y).abs().mean().item<double>(), 1e-6);
  EXPECT_GT(found.spearman_high - found.spearman_low, 0.02);
}

// Ratings that are affine in unit-norm embeddings, with a little noise.
struct Problem {
  at::Tensor embeddings, ratings;
};
Problem affine_problem() {
  auto generator = at::detail::createCPUGenerator(3);
  const auto x = at::randn({600, 8}, generator);
  const auto unit = x / x.norm(2, 1, true);
  return {unit, 5 + 2 * unit.select(1, 0) - unit.select(1, 3) + 0.05 * at::randn({600}, generator)};
}

TEST(TrainAesthetic, LearnsAnAffineTaste) {
  const auto problem = affine_problem();
  for (const auto form : {rewards::AestheticForm::kLinear, rewards::AestheticForm::kReluMlp}) {
    auto generator = at::detail::createCPUGenerator(4);
    const double rate = form == rewards::AestheticForm::kLinear ? 0.1 : 1e-3;
    const rewards::AestheticTraining options{
        .form = form, .epochs = 12, .batch_size = 32, .learning_rate = rate};
    int64_t epochs = 0;
    const auto trained =
        rewards::train_aesthetic(problem.embeddings, problem.ratings, options, generator,
                                 [&](int64_t, double, double) { ++epochs; });
    EXPECT_EQ(epochs, 12);
    EXPECT_LT(trained.validation_error, 0.1);
    EXPECT_GT(
        rewards::spearman(rewards::aesthetic_forward(trained.head, problem.embeddings).detach(),
                          problem.ratings),
        0.95);
    EXPECT_FALSE(trained.head.layers[0].weight.requires_grad());
  }
}

TEST(TrainAesthetic, SameSeedSameHead) {
  const auto problem = affine_problem();
  const auto train = [&](uint64_t seed) {
    auto generator = at::detail::createCPUGenerator(seed);
    const rewards::AestheticTraining options{.form = rewards::AestheticForm::kLinear, .epochs = 2};
    return rewards::train_aesthetic(problem.embeddings, problem.ratings, options, generator,
                                    [](int64_t, double, double) {})
        .head.layers[0]
        .weight;
  };
  EXPECT_TRUE(at::equal(train(5), train(5)));
  EXPECT_FALSE(at::equal(train(5), train(6)));
}

TEST(TrainAesthetic, RefusesTooFewRatings) {
  auto generator = at::detail::createCPUGenerator(7);
  EXPECT_THROW(rewards::train_aesthetic(at::zeros({3, 4}), at::zeros({3}), {}, generator,
                                        [](int64_t, double, double) {}),
               c10::Error);
}

TEST(SwappedRatings, MoveAQuarterAndKeepAllValues) {
  auto generator = at::detail::createCPUGenerator(6);
  const auto ratings = at::arange(400, at::kFloat);
  const auto swapped = rewards::with_swapped_ratings(ratings, 0.25, generator);
  EXPECT_EQ(swapped.ne(ratings).sum().item<int64_t>(), 100);
  EXPECT_TRUE(at::equal(std::get<0>(swapped.sort()), ratings));
  EXPECT_TRUE(at::equal(rewards::with_swapped_ratings(ratings, 0, generator), ratings));
  EXPECT_EQ(rewards::with_swapped_ratings(at::arange(5), 1, generator)
                .ne(at::arange(5))
                .sum()
                .item<int64_t>(),
            4);  // one is left over
  EXPECT_THROW(rewards::with_swapped_ratings(ratings, 2, generator), c10::Error);
}

TEST(TrainAesthetic, ABootstrapIsAnotherSampleOfTheSameRatings) {
  const auto problem = affine_problem();
  const auto trained = [&](bool bootstrap) {
    auto generator = at::detail::createCPUGenerator(4);
    const rewards::AestheticTraining options{.form = rewards::AestheticForm::kLinear,
                                             .epochs = 12,
                                             .batch_size = 32,
                                             .learning_rate = 0.1,
                                             .bootstrap = bootstrap};
    return rewards::train_aesthetic(problem.embeddings, problem.ratings, options, generator,
                                    [](int64_t, double, double) {});
  };
  const auto plain = trained(false), drawn = trained(true);
  EXPECT_FALSE(at::equal(plain.head.layers[0].weight, drawn.head.layers[0].weight));
  EXPECT_GT(rewards::pearson(rewards::aesthetic_forward(drawn.head, problem.embeddings).detach(),
                             problem.ratings),
            0.95);
}

}  // namespace
