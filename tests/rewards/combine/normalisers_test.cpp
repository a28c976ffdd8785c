#include "rewards/combine/normalisers.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "tests/support/refusal.hpp"

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

at::Tensor rows(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}
double at_row(const at::Tensor& x, int64_t i) { return x[i].item<double>(); }

TEST(RankWithin, CountsInsideTheGroupAndSharesTies) {
  // Group 0: 5, 1, 5, NaN; group 1: -3.
  const at::Tensor x = rows({5, 1, -3, 5, kNan}, 1);
  const at::Tensor ranks = rewards::rank_within(x, {0, 0, 1, 0, 0}).squeeze(1);
  EXPECT_DOUBLE_EQ(at_row(ranks, 0), 2.5 / 3);
  EXPECT_DOUBLE_EQ(at_row(ranks, 1), 1.0 / 3);
  EXPECT_DOUBLE_EQ(at_row(ranks, 2), 1);
  EXPECT_DOUBLE_EQ(at_row(ranks, 3), 2.5 / 3);
  EXPECT_TRUE(std::isnan(at_row(ranks, 4)));
  const at::Tensor scaled = rewards::rank_within(x * 100 - 7, {0, 0, 1, 0, 0}).squeeze(1);
  EXPECT_TRUE(scaled.slice(0, 0, 4).equal(ranks.slice(0, 0, 4)));
  EXPECT_THROW(rewards::rank_within(x, {0, 1}), c10::Error);
}

TEST(Normalisers, NamesAreDistinctAndDescribedInEachStage) {
  for (const auto stage : {rewards::Stage::kScoring, rewards::Stage::kTraining}) {
    const auto names = rewards::normaliser_names(stage);
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
    for (const auto& name : names) {
      const auto& row = rewards::normaliser_by_name(name, stage);
      EXPECT_EQ(row.name, name);
      EXPECT_STRNE(row.description, "") << name;
    }
  }
  EXPECT_NE(rewards::normaliser_by_name("prompt", rewards::Stage::kScoring).apply,
            rewards::normaliser_by_name("prompt", rewards::Stage::kTraining).apply);
}

TEST(Normalisers, OneOfTheOtherStageIsUnknown) {
  EXPECT_NE(refusal([] {
              rewards::normaliser_by_name("pooled", rewards::Stage::kScoring);
            }).find("none, range, prompt, rank, all, fixed, found 'pooled'"),
            std::string::npos);
  EXPECT_NE(refusal([] {
              rewards::normaliser_by_name("range", rewards::Stage::kTraining);
            }).find("none, pooled, prompt, rank, running, fixed, found 'range'"),
            std::string::npos);
}

}  // namespace
