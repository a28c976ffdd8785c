#include "data/train/muon.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace {

TEST(Muon, BringsSingularValuesNearOne) {
  auto generator = at::detail::createCPUGenerator(3);
  for (const auto& shape : {std::vector<int64_t>{6, 20}, std::vector<int64_t>{20, 6}}) {
    const at::Tensor m = at::empty(shape, at::kFloat).normal_(0, 5, generator);
    const at::Tensor q = train::orthogonalized(m);
    ASSERT_EQ(q.sizes(), m.sizes());
    const at::Tensor gram = shape[0] < shape[1] ? at::mm(q, q.t()) : at::mm(q.t(), q);
    EXPECT_LT((gram.diagonal() - 1).abs().max().item<double>(), 0.5);
    EXPECT_LT((gram - at::diag(gram.diagonal())).abs().max().item<double>(), 0.5);
    EXPECT_GT((q * m).sum().item<double>(), 0);  // the same direction
  }
  EXPECT_THROW(train::orthogonalized(at::zeros({3})), c10::Error);
}

TEST(Muon, FirstStepByHand) {
  // A 1x1 matrix keeps its sign: x = 1 through x <- 3.4445 x - 4.775 x^3 + 2.0315 x^5, five times.
  double x = 1;
  for (int i = 0; i < 5; ++i) x = 3.4445 * x - 4.7750 * x * x * x + 2.0315 * x * x * x * x * x;
  train::Params params{{"w", at::full({1, 1}, 2.0, at::kFloat).requires_grad_(true)},
                       {"b", at::full({1}, 2.0, at::kFloat).requires_grad_(true)}};
  for (const auto& param : params) param.value.mutable_grad() = at::full(param.value.sizes(), 0.5f);
  auto state = train::make_adamw(params);
  train::muon_step(params, state, {.weight_decay = 0.1, .adamw = {.weight_decay = 0}}, 0.01);
  EXPECT_NEAR(params[0].value.item<double>(), 2.0 * (1 - 0.01 * 0.1) - 0.01 * 0.2 * x, 1e-5);
  EXPECT_NEAR(params[1].value.item<double>(), 2.0 - 0.01, 1e-6);  // AdamW
  EXPECT_EQ(state.step.item<float>(), 1.0f);
}

TEST(Muon, FindsALeastSquaresSolution) {
  auto generator = at::detail::createCPUGenerator(4);
  const at::Tensor target = at::empty({4, 3}, at::kFloat).normal_(0, 1, generator);
  train::Params params{{"w", at::zeros({4, 3}).requires_grad_(true)}};
  auto state = train::make_adamw(params);
  for (int i = 0; i < 300; ++i) {
    train::zero_grad(params);
    (params[0].value - target).square().sum().backward();
    train::muon_step(params, state, {}, 0.2 * (1 - i / 300.0));
  }
  EXPECT_LT((params[0].value - target).abs().max().item<double>(), 0.05);
}

TEST(Muon, RefusesAStateOfOtherParameters) {
  train::Params params{{"w", at::zeros({1, 1}).requires_grad_(true)}};
  auto state = train::make_adamw({});
  EXPECT_THROW(train::muon_step(params, state, {}, 0.1), c10::Error);
}

}  // namespace
