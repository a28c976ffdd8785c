#include "finetune/policy/methods/prdp_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using finetune::prdp_gradient;
using finetune::PrdpOptions;

struct Case {
  at::Tensor u, u_old, rewards;
  std::vector<int64_t> prompts{0, 0, 0, 0, 1, 1, 1, 1};
};
Case random_case(uint64_t seed, double moved) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::kDouble).normal_(0, 1, generator);
  };
  Case c;
  c.u_old = 0.3 * normal({8, 3});
  c.u = c.u_old + moved * normal({8, 3});
  c.rewards = normal({8});
  return c;
}

// The loss written as the paper does, for autograd: one prompt at a time, then the mean.
at::Tensor loss_by_definition(const at::Tensor& u, const Case& c, const PrdpOptions& options) {
  const at::Tensor clipped =
      at::minimum(at::maximum(u, c.u_old - options.clip_range), c.u_old + options.clip_range);
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (int64_t prompt = 0; prompt < 2; ++prompt) {
    const auto rows = [&](const at::Tensor& x) { return x.narrow(0, prompt * 4, 4); };
    const auto pairs = [](const at::Tensor& x) { return x.unsqueeze(1) - x.unsqueeze(0); };
    const at::Tensor dr = pairs(rows(c.rewards)), wanted = dr / options.beta;
    const at::Tensor open = (pairs(rows(u).sum(1)) - wanted).square();
    const at::Tensor closed = (pairs(rows(clipped).sum(1)) - wanted).square();
    sum = sum + at::maximum(open, closed).masked_select(dr.gt(0)).mean();
  }
  return sum / 2.0;
}

TEST(PrdpGradient, TwoTrajectoriesByHand) {
  // u sums to 1 and 0, rewards 2 and 0, beta 0.5: error 1 - 4 = -3, loss 9, d loss / d u = -6 and
  // +6.
  const at::Tensor u = at::tensor({0.4, 0.6, 0.0, 0.0}, at::kDouble).view({2, 2});
  const auto result =
      prdp_gradient(u, u, at::tensor({2.0, 0.0}), {7, 7}, {.beta = 0.5, .clip_range = 1});
  EXPECT_DOUBLE_EQ(result.statistics.loss, 9.0);
  EXPECT_TRUE(
      at::equal(result.weights, at::tensor({-6.0, -6.0, 6.0, 6.0}, at::kDouble).view({2, 2})));
  EXPECT_EQ(result.statistics.pairs, 1);
  EXPECT_DOUBLE_EQ(result.statistics.explained_variance, 1.0 - 2.25 / 4.0);
}

TEST(PrdpGradient, EqualTheGradientOfTheDefinitionClippingActiveOrNot) {
  for (const double moved : {0.0, 0.05, 0.5}) {
    Case c = random_case(1, moved);
    const PrdpOptions options{.beta = 0.7, .clip_range = 0.2};
    const at::Tensor u = c.u.clone().requires_grad_(true);
    const at::Tensor loss = loss_by_definition(u, c, options);
    loss.backward();
    const auto result = prdp_gradient(c.u, c.u_old, c.rewards, c.prompts, options);
    EXPECT_NEAR(result.statistics.loss, loss.item<double>(), 1e-12);
    EXPECT_LT((result.weights - u.grad()).abs().max().item<double>(), 1e-12) << moved;
    EXPECT_EQ(result.statistics.clip_fraction > 0, moved > 0.2);
  }
}

TEST(PrdpGradient, AtTheSnapshotTheClipRangeDoesNotMatter) {
  const Case c = random_case(2, 0.0);
  const auto tight =
      prdp_gradient(c.u, c.u, c.rewards, c.prompts, {.beta = 0.1, .clip_range = 1e-6});
  const auto wide = prdp_gradient(c.u, c.u, c.rewards, c.prompts, {.beta = 0.1, .clip_range = 1e9});
  EXPECT_TRUE(at::allclose(tight.weights, wide.weights, 1e-14, 0));
  EXPECT_GT(wide.weights.abs().max().item<double>(), 0);
}

TEST(PrdpGradient, AtTheReferenceTheyAreReinforceWithAGroupBaseline) {
  // grad L = -4 / (beta (B - 1)) sum_i [(r_i - mean r) - beta (u_i - mean u)] grad u_i, per prompt.
  Case c = random_case(3, 0.0);
  const double beta = 0.3;
  const auto result =
      prdp_gradient(c.u, c.u, c.rewards, c.prompts, {.beta = beta, .clip_range = 1});
  const at::Tensor r = c.rewards.view({2, 4}), u = c.u.sum(1).view({2, 4});
  const at::Tensor advantage = (r - r.mean(1, true)) - beta * (u - u.mean(1, true));
  const at::Tensor expected = (-4.0 / (beta * 3.0) * advantage / 2.0).view({8, 1}).expand({8, 3});
  EXPECT_TRUE(at::allclose(result.weights, expected, 1e-10, 1e-12));
}

TEST(PrdpGradient, FollowAPermutationOfTheTrajectories) {
  const Case c = random_case(4, 0.4);
  const at::Tensor order = at::tensor({5, 2, 7, 0, 3, 6, 1, 4}, at::kLong);
  std::vector<int64_t> prompts;
  for (int64_t i = 0; i < 8; ++i)
    prompts.push_back(c.prompts[static_cast<size_t>(order[i].item<int64_t>())]);
  const PrdpOptions options{.beta = 0.4, .clip_range = 0.2};
  const auto straight = prdp_gradient(c.u, c.u_old, c.rewards, c.prompts, options);
  const auto shuffled = prdp_gradient(c.u.index({order}), c.u_old.index({order}),
                                      c.rewards.index({order}), prompts, options);
  EXPECT_TRUE(at::allclose(shuffled.weights, straight.weights.index({order}), 1e-12, 1e-14));
  EXPECT_NEAR(shuffled.statistics.loss, straight.statistics.loss, 1e-12);
}

TEST(PrdpGradient, APromptsConstantInTheRewardChangesNothing) {
  const Case c = random_case(5, 0.4);
  const at::Tensor shift = at::tensor({3., 3., 3., 3., -7., -7., -7., -7.}, at::kDouble);
  const PrdpOptions options{.beta = 0.4, .clip_range = 0.2};
  const auto plain = prdp_gradient(c.u, c.u_old, c.rewards, c.prompts, options);
  const auto shifted = prdp_gradient(c.u, c.u_old, c.rewards + shift, c.prompts, options);
  EXPECT_TRUE(at::allclose(plain.weights, shifted.weights, 1e-9, 1e-10));
}

TEST(PrdpGradient, SkipTiesAndDropFailedRewards) {
  Case c = random_case(6, 0.1);
  c.rewards.narrow(0, 4, 4).fill_(1.5);  // prompt 1 says nothing
  c.rewards[2] = std::numeric_limits<double>::quiet_NaN();
  const auto result =
      prdp_gradient(c.u, c.u_old, c.rewards, c.prompts, {.beta = 0.4, .clip_range = 0.2});
  EXPECT_EQ(result.statistics.degenerate, 1);
  EXPECT_EQ(result.statistics.prompts, 1);
  EXPECT_EQ(result.statistics.pairs, 3);
  EXPECT_EQ(result.statistics.dropped, 1);
  EXPECT_TRUE(result.weights.isfinite().all().item<bool>());
  EXPECT_EQ(result.weights[2].abs().max().item<double>(), 0);
  EXPECT_EQ(result.weights.narrow(0, 4, 4).abs().max().item<double>(), 0);
  const auto none = prdp_gradient(c.u, c.u_old, at::ones({8}), c.prompts, {});
  EXPECT_EQ(none.statistics.loss, 0);
  EXPECT_EQ(none.weights.abs().max().item<double>(), 0);
}

TEST(PrdpGradient, AMaskedStepLeavesTheObjective) {
  const Case c = random_case(7, 0.3);
  const at::Tensor mask = at::tensor({1.0, 0.0, 1.0}, at::kDouble);
  const PrdpOptions options{.beta = 0.4, .clip_range = 0.2};
  const auto masked = prdp_gradient(c.u, c.u_old, c.rewards, c.prompts, options, mask);
  const at::Tensor kept = at::tensor({0, 2}, at::kLong);
  const auto without = prdp_gradient(c.u.index_select(1, kept), c.u_old.index_select(1, kept),
                                     c.rewards, c.prompts, options);
  EXPECT_TRUE(at::allclose(masked.weights.index_select(1, kept), without.weights));
  EXPECT_EQ(masked.weights.select(1, 1).abs().max().item<double>(), 0);
  EXPECT_DOUBLE_EQ(masked.statistics.loss, without.statistics.loss);
  EXPECT_DOUBLE_EQ(masked.statistics.clip_fraction, without.statistics.clip_fraction);
}

TEST(PrdpGradient, RefuseWrongInput) {
  const Case c = random_case(8, 0);
  EXPECT_THROW(prdp_gradient(c.u, c.u, c.rewards, c.prompts, {.beta = 0}), c10::Error);
  EXPECT_THROW(prdp_gradient(c.u, c.u, c.rewards, {0, 0}, {}), c10::Error);
  EXPECT_THROW(prdp_gradient(c.u, c.u.narrow(1, 0, 2), c.rewards, c.prompts, {}), c10::Error);
}

// log N(x; mean, s) - log N(x; reference, s)
at::Tensor gaussian_ratio(const at::Tensor& x,
                          const at::Tensor& mean,
                          const at::Tensor& reference,
                          double s) {
  return (mean - reference) * (2 * x - mean - reference) / (2 * s * s);
}

TEST(PrdpGradient, TheOptimumOfOneGaussianStepIsAFixedPoint) {
  // pi_ref = N(m, s^2), r = a x: the optimum N(m + s^2 a / beta, s^2), where the loss is 0.
  const double s = 0.8, a = 1.7, beta = 0.6, m = -0.4;
  const at::Tensor x = at::linspace(-3, 3, 8, at::kDouble).view({8, 1});
  const at::Tensor reference = at::full({8, 1}, m, at::kDouble),
                   optimum = reference + s * s * a / beta;
  const at::Tensor u = gaussian_ratio(x, optimum, reference, s);
  const auto result = prdp_gradient(u, u, a * x.squeeze(1), std::vector<int64_t>(8, 0),
                                    {.beta = beta, .clip_range = 1});
  EXPECT_LT(result.statistics.loss, 1e-24);
  EXPECT_LT(result.weights.abs().max().item<double>(), 1e-11);
  EXPECT_NEAR(result.statistics.explained_variance, 1, 1e-12);
  const at::Tensor off = gaussian_ratio(x, optimum + 0.1, reference, s);
  EXPECT_GT(prdp_gradient(off, off, a * x.squeeze(1), std::vector<int64_t>(8, 0), {.beta = beta})
                .statistics.loss,
            1e-3);
}

TEST(PrdpGradient, TwoStepChainIsExactOnlyWhenTrajectoriesShareTheirStart) {
  // x1 = x2 + N(0, s1), x0 = x1 + N(0, s0), r = a x0. The optimum shifts step t's mean by s_t^2 a /
  // beta; what is left of a pair's error is a (x2_i - x2_j) / beta, as the start's distribution is
  // not learned.
  const double s1 = 0.7, s0 = 0.3, a = 1.3, beta = 0.5;
  at::Generator generator = at::detail::createCPUGenerator(3);
  const auto normal = [&] { return at::empty({6, 1}, at::kDouble).normal_(0, 1, generator); };
  for (const bool shared : {true, false}) {
    const at::Tensor x2 = shared ? at::zeros({6, 1}, at::kDouble) : normal();
    const at::Tensor x1 = x2 + s1 * normal(), x0 = x1 + s0 * normal();
    const at::Tensor u = at::cat({gaussian_ratio(x1, x2 + s1 * s1 * a / beta, x2, s1),
                                  gaussian_ratio(x0, x1 + s0 * s0 * a / beta, x1, s0)},
                                 1);
    const auto result =
        prdp_gradient(u, u, a * x0.squeeze(1), std::vector<int64_t>(6, 0), {.beta = beta});
    const at::Tensor residual = (a / beta * (x2 - x2.t())).square();
    EXPECT_NEAR(result.statistics.loss, residual.sum().item<double>() / 30.0, 1e-10);
    EXPECT_EQ(result.statistics.loss < 1e-20, shared);
  }
}

TEST(PairUnits, MeanUnitsOfThePaperBothWays) {
  // Table 4's aesthetic ablation at beta = 10, T = 50, D = 16384; clip range 1e-4.
  EXPECT_NEAR(finetune::beta_from_mean_units(10, 50, 16384), 1.2207e-5, 1e-9);
  EXPECT_NEAR(finetune::clip_range_from_mean_units(1e-4, 16384), 1.6384, 1e-12);
  EXPECT_DOUBLE_EQ(finetune::beta_to_mean_units(finetune::beta_from_mean_units(3, 7, 11), 7, 11),
                   3);
  EXPECT_DOUBLE_EQ(
      finetune::clip_range_to_mean_units(finetune::clip_range_from_mean_units(3, 11), 11), 3);
}

TEST(PairUnits, MeanAndSumLossesShareTheirGradientDirection) {
  // ((1 / TD) dU - dr / beta)^2 is (TD)^-2 times (dU - dr / beta_nat)^2.
  const Case c = random_case(9, 0.0);
  const int64_t steps = 3, dimensions = 20;
  const double beta = 5, factor = 1.0 / static_cast<double>(steps * dimensions);
  const auto nat = prdp_gradient(
      c.u, c.u, c.rewards, c.prompts,
      {.beta = finetune::beta_from_mean_units(beta, steps, dimensions), .clip_range = 1});
  const auto mean = prdp_gradient(c.u * factor, c.u * factor, c.rewards, c.prompts,
                                  {.beta = beta, .clip_range = 1});
  EXPECT_NEAR(nat.statistics.loss * factor * factor, mean.statistics.loss, 1e-10);
  EXPECT_TRUE(at::allclose(nat.weights * factor, mean.weights));
}

TEST(BetaForKl, IsExactForAGaussianReward) {
  const double s = 0.8, a = 1.7, beta = finetune::beta_for_kl(a * s, 6.0);
  const double shift = s * s * a / beta;
  EXPECT_NEAR(shift * shift / (2 * s * s), 6.0, 1e-12);
  EXPECT_NEAR(finetune::kl_for_beta(a * s, beta), 6.0, 1e-12);
  EXPECT_DOUBLE_EQ(finetune::kl_for_beta(2.0, 0.5), 8.0);  // 4 / (2 * 0.25)
  EXPECT_THROW(finetune::beta_for_kl(1, 0), c10::Error);
}

}  // namespace
