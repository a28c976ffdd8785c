#include "finetune/distributed/row_shard.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "finetune/policy/epoch.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

using finetune::ProcessGroup;
using Rows = std::vector<int64_t>;

TEST(RowShard, StretchesAndCombsByHand) {
  EXPECT_EQ(finetune::contiguous_shard({0, 2}, 5).rows, (Rows{0, 1}));
  EXPECT_EQ(finetune::contiguous_shard({1, 2}, 5).rows, (Rows{2, 3, 4}));
  EXPECT_EQ(finetune::strided_shard({1, 3}, 8).rows, (Rows{1, 4, 7}));
  EXPECT_EQ(finetune::whole(3).rows, (Rows{0, 1, 2}));
  EXPECT_TRUE(finetune::contiguous_shard({0, 4}, 2).rows.empty());
}

TEST(RowShard, EveryRowIsOneRanksAndSharesAreEven) {
  for (const int64_t count : {1, 2, 3, 7}) {
    for (const int64_t total : {0, 1, 6, 7, 64}) {
      for (const auto& share_of : {finetune::contiguous_shard, finetune::strided_shard}) {
        Rows all;
        for (int64_t rank = 0; rank < count; ++rank) {
          const auto share = share_of({rank, count}, total);
          const auto size = static_cast<int64_t>(share.rows.size());
          EXPECT_LE(std::abs(size * count - total), count);
          all.insert(all.end(), share.rows.begin(), share.rows.end());
        }
        EXPECT_EQ(static_cast<int64_t>(all.size()), total);
        EXPECT_EQ(static_cast<int64_t>(std::set<int64_t>(all.begin(), all.end()).size()), total);
      }
    }
  }
}

TEST(RowShard, APartOfAPlanKeepsItsSeeds) {
  finetune::FinetuneConfig config = tests::tiny_config();
  auto generator = at::detail::createCPUGenerator(1);
  const auto plan = finetune::plan_epoch({"a", "b", "c"}, config, 0, generator);
  const auto part = finetune::part_of(plan, finetune::share_of(ProcessGroup{1, 2}, config));
  ASSERT_EQ(part.prompts.size(), plan.prompts.size());
  for (size_t i = 0; i < part.prompts.size(); ++i)
    EXPECT_EQ(label_of(part.prompts[i]), label_of(plan.prompts[i]));
  EXPECT_EQ(part.draw.prompt_ids, (Rows{1, 1, 1, 1}));
  EXPECT_EQ(part.draw.seeds,
            std::vector<uint64_t>(plan.draw.seeds.begin() + 4, plan.draw.seeds.end()));
  config.prompts_per_update = 1;  // an update on one prompt: both ranks have half of its images
  EXPECT_EQ(finetune::part_of(plan, finetune::share_of(ProcessGroup{1, 2}, config)).draw.prompt_ids,
            (Rows{0, 0, 1, 1}));
}

TEST(RowShard, RanksTakeWholeTrees) {
  finetune::FinetuneConfig config = tests::tiny_config();  // 2 prompts, 4 images, 3 steps
  config.branch = {0, 2};                                  // trees of two images
  EXPECT_EQ(finetune::share_of(ProcessGroup{0, 3}, config).rows, (Rows{0, 1}));
  EXPECT_EQ(finetune::share_of(ProcessGroup{2, 3}, config).rows, (Rows{4, 5, 6, 7}));
  config.prompts_per_update = 1;
  EXPECT_EQ(finetune::share_of(ProcessGroup{1, 2}, config).rows, (Rows{2, 3, 6, 7}));
  EXPECT_EQ(finetune::share_of(ProcessGroup{1, 2}, config).total, 8);
  EXPECT_NE(refusal([&] {
              finetune::share_of(ProcessGroup{0, 5}, config);
            }).find("5 ranks, found 8 in 4 trees"),
            std::string::npos);
}

TEST(RowShard, RefusesFewerImagesThanRanks) {
  const std::string told = refusal([] {
    finetune::share_of(ProcessGroup{0, 9}, tests::tiny_config());
  });
  EXPECT_NE(told.find("9 ranks, found 8"), std::string::npos) << told;
}

TEST(RowShard, AloneNothingIsExchanged) {
  const at::Tensor own = at::rand({3, 2});
  EXPECT_TRUE(finetune::all_gather_rows(finetune::whole(3), own).is_same(own));
  EXPECT_TRUE(finetune::any_rank({}, true));
  EXPECT_EQ(finetune::all_gather_text({}, "x"), std::vector<std::string>{"x"});
}

}  // namespace
