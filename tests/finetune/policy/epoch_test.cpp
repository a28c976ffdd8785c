#include "finetune/policy/epoch.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/support/tiny/run.hpp"

namespace {

finetune::EpochPlan plan_with(double share) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.primary_share = share;
  auto generator = at::detail::createCPUGenerator(1);
  return finetune::plan_epoch({"a", "b"}, config, 0, generator);
}

TEST(EpochPlan, ThePrimaryRatesAShareOfEachPromptsImages) {
  EXPECT_TRUE(plan_with(1).by_first.empty());
  using Bits = std::vector<bool>;
  EXPECT_EQ(plan_with(0.5).by_first, (Bits{1, 1, 0, 0, 1, 1, 0, 0}));
  EXPECT_EQ(plan_with(0.51).by_first, (Bits{1, 1, 1, 0, 1, 1, 1, 0}));
  EXPECT_EQ(plan_with(0.001).by_first, (Bits{1, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(plan_with(0.5).draw.seeds, plan_with(1).draw.seeds);
}

TEST(EpochPlan, RateLeavesOutWhatThePrimaryIsSpared) {
  finetune::TrainingTask task = tests::tiny_task();
  task.rewards.push_back({tests::channel_reward("blueness", 2, false), 1});
  finetune::Trajectories ends;
  auto generator = at::detail::createCPUGenerator(2);
  ends.latents = {at::randn({8, 3, 8, 8}, generator)};
  const finetune::RowShard share = finetune::whole(8);
  finetune::EpochPlan all = plan_with(1), some = plan_with(0.5);
  ends.prompt_ids = all.draw.prompt_ids;
  const at::Tensor whole = finetune::rate(task, all, share, ends, 3);
  const at::Tensor spared = finetune::rate(task, some, share, ends, 3);
  ASSERT_EQ(spared.sizes(), whole.sizes());
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(spared[i][1].item<double>(), whole[i][1].item<double>(), 1e-5);
    if (some.by_first[static_cast<size_t>(i)])
      EXPECT_NEAR(spared[i][0].item<double>(), whole[i][0].item<double>(), 1e-5);
    else
      EXPECT_TRUE(spared[i][0].isnan().item<bool>());
  }
}

}  // namespace
