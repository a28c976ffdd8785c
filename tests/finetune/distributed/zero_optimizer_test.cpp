#include "finetune/distributed/zero_optimizer.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace {

train::Params params_of(const std::vector<int64_t>& sizes) {
  train::Params params;
  for (const int64_t size : sizes)
    params.push_back({"p" + std::to_string(params.size()), at::ones({size}).requires_grad_(true)});
  return params;
}

TEST(Moments, NeighboursGoToOneRankAboutTheSameNumberEach) {
  const auto params = params_of({10, 10, 20, 40});
  EXPECT_EQ(finetune::partition_moments({0, 2}, params).owner, (std::vector<int64_t>{0, 0, 0, 1}));
  EXPECT_EQ(finetune::partition_moments({0, 4}, params).owner, (std::vector<int64_t>{0, 0, 1, 3}));
  EXPECT_EQ(finetune::partition_moments({0, 1}, params).owner, (std::vector<int64_t>{0, 0, 0, 0}));
}

TEST(Moments, OthersAreDroppedAndMadeWholeAgain) {
  const auto params = params_of({4, 4});
  finetune::MomentOwners owners;
  owners.ranks.rank = 1;
  owners.ranks.count = 2;
  owners.owner = {0, 1};
  auto state = train::make_adamw(params);
  state.exp_avg[1].fill_(3);
  finetune::drop_unowned_moments(owners, state);
  EXPECT_EQ(state.exp_avg[0].numel(), 0);
  EXPECT_EQ(state.exp_avg_sq[0].numel(), 0);
  finetune::allocate_all_moments(owners, params, state);
  EXPECT_TRUE(at::equal(state.exp_avg[0], at::zeros({4})));
  EXPECT_TRUE(at::equal(state.exp_avg[1], at::full({4}, 3.0f)));
}

TEST(Moments, WithoutOwnersEveryRankKeepsAllAndStepsAsAdamW) {
  const auto a = params_of({3}), b = params_of({3});
  auto first = train::make_adamw(a), second = train::make_adamw(b);
  finetune::drop_unowned_moments({}, first);
  for (const auto* params : {&a, &b}) (*params)[0].value.mutable_grad() = at::full({3}, 0.5);
  train::adamw_step(a, first, {}, 0.1);
  finetune::sharded_step({}, b, second, {}, 0.1);
  EXPECT_TRUE(at::equal(a[0].value, b[0].value));
}

}  // namespace
