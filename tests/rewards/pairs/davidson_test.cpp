#include "rewards/pairs/davidson.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/gradient_check.hpp"

namespace {

using rewards::Comparisons;
using rewards::fit_davidson;

Comparisons comparisons(const at::Tensor& differences, const std::vector<int64_t>& outcomes) {
  const int64_t n = differences.size(0);
  return {.differences = differences.to(at::kDouble),
          .outcomes = at::tensor(outcomes, at::kLong),
          .may_tie = at::ones({n}, at::kBool),
          .people = at::zeros({n}, at::kLong),
          .weights = at::ones({n}, at::kDouble)};
}

rewards::DavidsonFit fit(const Comparisons& data, const rewards::Ridges& ridges) {
  return fit_davidson(data, ridges, rewards::zero_fit(data));
}

// Answers of the model itself about random differences of two pictures.
struct Simulation {
  at::Tensor taste;  // [F]
  Comparisons data;
};
Simulation simulated(int64_t count, int64_t width, double nu) {
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor taste = at::randn({width}, generator, at::kDouble);
  Simulation s{.taste = taste * (std::sqrt(2.0) / taste.norm()), .data = {}};
  const at::Tensor differences = std::sqrt(2.0) * at::randn({count, width}, generator, at::kDouble);
  const at::Tensor z = differences.mv(s.taste);
  const at::Tensor strengths = at::stack({(z / 2).exp(), (-z / 2).exp(), at::full_like(z, nu)}, 1);
  s.data = comparisons(differences, std::vector<int64_t>(static_cast<size_t>(count)));
  s.data.outcomes = at::multinomial(strengths, 1, false, generator).squeeze(1);
  return s;
}

TEST(Davidson, OnePairByHand) {
  // Of ten answers about one pair four are a, one b, five ties: at the maximum of the likelihood
  // e^z = 4 / 1 and nu = 5 / sqrt(4 x 1).
  const auto data = comparisons(at::ones({10, 1}), {0, 0, 0, 0, 1, 2, 2, 2, 2, 2});
  const auto found = fit(data, {.shared = 1e-9});
  EXPECT_NEAR(found.shared.item<double>(), std::log(4.0), 1e-7);
  EXPECT_NEAR(found.log_nu, std::log(2.5), 1e-7);
}

TEST(Davidson, TheRidgeByHand) {
  // Two answers for a: ridge w = 2 / (1 + e^w), which w = 1 solves for this ridge.
  const auto data = comparisons(at::ones({2, 1}), {0, 0});
  EXPECT_NEAR(fit(data, {.shared = 2 / (1 + std::exp(1.0))}).shared.item<double>(), 1, 1e-9);
}

TEST(Davidson, AMarginByHand) {
  // The same two answers with a margin of 0.5: ridge w = 2 / (1 + e^(w - 0.5)), which w = 1 solves.
  auto data = comparisons(at::ones({2, 1}), {0, 0});
  data.margins = at::full({2}, 0.5, at::kDouble);
  EXPECT_NEAR(fit(data, {.shared = 2 / (1 + std::exp(0.5))}).shared.item<double>(), 1, 1e-9);
  // -log sigmoid(z - m) where a won, -log sigmoid(-z - m) where b won; a tie has no side.
  data = comparisons(at::ones({3, 1}), {0, 1, 2});
  data.margins = at::tensor({0.5, 2.0, 0.0}, at::kDouble);
  const auto losses =
      rewards::answer_losses(at::tensor({0.3, 0.3, 0.3}, at::kDouble), std::log(0.8), data);
  const double s = std::exp(-0.1) + std::exp(0.1) + 0.8, far = std::exp(1.15) + std::exp(-1.15);
  EXPECT_NEAR(losses[0].item<double>(), std::log(s) + 0.1, 1e-12);
  EXPECT_NEAR(losses[1].item<double>(), std::log(far + 0.8) + 1.15, 1e-12);
  data.may_tie = at::zeros({3}, at::kBool);
  EXPECT_NEAR(rewards::answer_losses(at::full({3}, 0.3, at::kDouble), 0, data)[0].item<double>(),
              std::log1p(std::exp(0.2)), 1e-12);
}

TEST(Davidson, AMarginOfZeroIsNone) {
  auto data = simulated(60, 3, 0.5).data;
  const auto without = fit(data, {.shared = 1});
  data.margins = at::zeros({60}, at::kDouble);
  EXPECT_TRUE(at::equal(fit(data, {.shared = 1}).shared, without.shared));
  data.margins = 2 * data.outcomes.ne(rewards::kTied).to(at::kDouble);
  EXPECT_GT(fit(data, {.shared = 1}).shared.norm().item<double>(),
            without.shared.norm().item<double>());
  data.margins = at::zeros({59}, at::kDouble);
  EXPECT_THROW(fit(data, {.shared = 1}), c10::Error);
}

TEST(Davidson, WeightsCountAsRepetitions) {
  auto weighted = comparisons(at::tensor({1.0, 1.0, -2.0}).unsqueeze(1), {0, 1, 2});
  weighted.weights = at::tensor({3.0, 1.0, 2.0}, at::kDouble);
  const auto repeated =
      comparisons(at::tensor({1.0, 1.0, 1.0, 1.0, -2.0, -2.0}).unsqueeze(1), {0, 0, 0, 1, 2, 2});
  EXPECT_NEAR(fit(weighted, {.shared = 0.3}).shared.item<double>(),
              fit(repeated, {.shared = 0.3}).shared.item<double>(), 1e-9);
}

TEST(Davidson, SidesDoNotMatter) {
  const auto s = simulated(60, 3, 0.5);
  auto swapped = s.data;
  swapped.differences = -s.data.differences;
  swapped.outcomes =
      at::where(s.data.outcomes.eq(rewards::kTied), s.data.outcomes, 1 - s.data.outcomes);
  const auto one = fit(s.data, {.shared = 1}), other = fit(swapped, {.shared = 1});
  EXPECT_TRUE(at::allclose(one.shared, other.shared, 1e-9, 1e-9));
  EXPECT_NEAR(one.log_nu, other.log_nu, 1e-9);
}

TEST(Davidson, AnInfiniteRidgeGivesZero) {
  const auto s = simulated(200, 4, 0.7);
  const auto found = fit(s.data, {.shared = 1e14});
  EXPECT_LT(found.shared.abs().max().item<double>(), 1e-9);
  const double share =
      s.data.outcomes.eq(rewards::kTied).sum().item<double>() / 200;  // at z = 0: nu / (2 + nu)
  EXPECT_NEAR(std::exp(found.log_nu), 2 * share / (1 - share), 1e-6);
}

TEST(Davidson, LossesHaveTheGradientOfDifferences) {
  auto data = comparisons(at::ones({4, 1}), {0, 1, 2, 0});
  data.may_tie = at::tensor({1, 1, 1, 0}).to(at::kBool);
  data.margins = at::tensor({0.7, 1.3, 0.0, 0.2}, at::kDouble);
  const auto f = [&](const at::Tensor& z) {
    return rewards::answer_losses(z, std::log(0.8), data).sum();
  };
  EXPECT_LT(gradient_error(f, at::tensor({0.3, -1.2, 0.5, 2.0}, at::kDouble)), 1e-8);
}

TEST(Davidson, TheFitIsWhereTheGradientByDifferencesIsZero) {
  auto s = simulated(80, 3, 0.6);
  s.data.people = at::arange(80, at::kLong).remainder(2);
  s.data.people_count = 2;
  s.data.margins = at::linspace(0, 2, 80, at::kDouble) * s.data.outcomes.ne(rewards::kTied);
  const rewards::Ridges ridges{.shared = 0.5, .own = 2};
  const auto found = fit(s.data, ridges);
  const auto objective = [&](const at::Tensor& x) {  // [9]: shared, own
    const rewards::DavidsonFit at_x{x.slice(0, 0, 3), x.slice(0, 3).view({2, 3}), found.log_nu};
    return rewards::answer_losses(rewards::margins(at_x, s.data), found.log_nu, s.data).sum() +
           0.25 * at_x.shared.square().sum() + at_x.own.square().sum();
  };
  const at::Tensor x = at::cat({found.shared, found.own.flatten()});
  EXPECT_LT(gradient_error(objective, x + 0.1), 1e-7);  // the objective is that of the fit
  for (int64_t i = 0; i < 9; ++i) {
    const at::Tensor step = 1e-5 * at::eye(9, at::kDouble)[i];
    EXPECT_NEAR((objective(x + step) - objective(x - step)).item<double>() / 2e-5, 0, 1e-6);
  }
  const auto by_nu = [&](double log_nu) {
    return rewards::answer_losses(rewards::margins(found, s.data), log_nu, s.data)
        .sum()
        .item<double>();
  };
  EXPECT_NEAR((by_nu(found.log_nu + 1e-5) - by_nu(found.log_nu - 1e-5)) / 2e-5, 0, 1e-6);
}

TEST(Davidson, RecoversATaste) {
  // Differences are N(0, 2 I) in 8 dimensions, |taste| = sqrt(2), so z is N(0, 4). Without ties the
  // information across the taste is 2 E[p (1 - p)] = 2 x 0.156 an answer, so the squared angle of
  // the estimate is about 7 / (2 x 0.156 x 2000 x 2), 0.075 rad: 2.4 % of fresh pairs fall between
  // the two. Twice that is allowed.
  const auto s = simulated(2000, 8, 0);
  const auto found = fit(s.data, {.shared = 1});
  auto generator = at::detail::createCPUGenerator(6);
  const at::Tensor fresh = at::randn({4000, 8}, generator, at::kDouble);
  const double same = fresh.mv(found.shared)
                          .sign()
                          .eq(fresh.mv(s.taste).sign())
                          .to(at::kDouble)
                          .mean()
                          .item<double>();
  EXPECT_GT(same, 0.952);
  EXPECT_FALSE(std::isfinite(found.log_nu));
}

TEST(Davidson, RecoversTheTies) {
  const auto found = fit(simulated(4000, 4, 1.5).data, {.shared = 1});
  EXPECT_NEAR(std::exp(found.log_nu), 1.5, 0.15);  // about two standard errors
}

TEST(Davidson, PeopleDifferAsFarAsTheirRidgeLets) {
  auto s = simulated(400, 3, 0);
  s.data.people = at::arange(400, at::kLong).remainder(2);
  s.data.people_count = 2;
  const at::Tensor second = s.data.people.eq(1);
  s.data.outcomes = at::where(second, 1 - s.data.outcomes, s.data.outcomes);  // of opposite taste
  const auto apart = fit(s.data, {.shared = 1, .own = 0.1});
  const at::Tensor a = apart.shared + apart.own[0], b = apart.shared + apart.own[1];
  EXPECT_LT(a.dot(b).item<double>() / (a.norm() * b.norm()).item<double>(), -0.9);
  const auto alike = fit(s.data, {.shared = 1});
  EXPECT_EQ(alike.own.abs().max().item<double>(), 0);
  EXPECT_LT(alike.shared.norm().item<double>(), 0.3 * a.norm().item<double>());
  const auto bound = fit(s.data, {.shared = 1, .own = 1e9});
  EXPECT_TRUE(at::allclose(bound.shared, alike.shared, 1e-4, 1e-6));
}

TEST(Davidson, LikesIgnoreTies) {
  auto data = comparisons(at::ones({4, 1}), {0, 0, 0, 1});
  data.may_tie = at::zeros({4}, at::kBool);
  EXPECT_NEAR(fit(data, {.shared = 1e-9}).shared.item<double>(), std::log(3.0), 1e-6);
}

TEST(Davidson, TheSameDataGiveTheSameBits) {
  const auto s = simulated(300, 5, 0.4);
  EXPECT_TRUE(at::equal(fit(s.data, {.shared = 0.1}).shared, fit(s.data, {.shared = 0.1}).shared));
}

TEST(Davidson, RefusesShapesThatDoNotFit) {
  auto data = comparisons(at::ones({2, 1}), {0, 0});
  EXPECT_THROW(fit(data, {.shared = 0}), c10::Error);
  data.outcomes = at::zeros({3}, at::kLong);
  EXPECT_THROW(fit(data, {.shared = 1}), c10::Error);
}

}  // namespace
