#include "rewards/labels/strength.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

const double kNone = std::nan("");

at::Tensor rows(const std::vector<std::vector<double>>& values) {
  std::vector<at::Tensor> tensors;
  for (const auto& row : values) tensors.push_back(at::tensor(row, at::kDouble));
  return at::stack(tensors);
}

TEST(Strength, OfEightPairsAndThreeMembersIsThatOnPaper) {
  const auto found = rewards::strengths_of(rows({{1, 2, 3},
                                                 {-1, -2, -3},
                                                 {2, 2, 2},
                                                 {0, 0, 0},
                                                 {3, 0, -3},
                                                 {1, kNone, 3},
                                                 {kNone, kNone, kNone},
                                                 {-4, 1, 0}}));
  const std::vector<double> mean{2, -2, 2, 0, 0, 2, 0, -1};
  // sqrt of the mean square deviation, divided by M and not by M - 1
  const std::vector<double> deviation{
      std::sqrt(2.0 / 3), std::sqrt(2.0 / 3), 0, 0, std::sqrt(6.0), 1, 0, std::sqrt(14.0 / 3)};
  const std::vector<double> share{1, 0, 1, 0.5, 0.5, 1, 0.5, 0.5};
  const std::vector<int64_t> votes{3, 3, 3, 3, 3, 2, 0, 3};
  ASSERT_EQ(found.size(), 8u);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_DOUBLE_EQ(found[i].mean, mean[i]) << i;
    EXPECT_NEAR(found[i].deviation, deviation[i], 1e-12) << i;
    EXPECT_DOUBLE_EQ(found[i].share, share[i]) << i;
    EXPECT_EQ(found[i].votes, votes[i]) << i;
  }
}

TEST(Strength, OfExchangedPicturesIsTheOpposite) {
  const at::Tensor votes = rows({{1, -2, 5}, {0.5, kNone, -1}});
  const auto one = rewards::strengths_of(votes), other = rewards::strengths_of(-votes);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_DOUBLE_EQ(one[i].mean, -other[i].mean);
    EXPECT_DOUBLE_EQ(one[i].deviation, other[i].deviation);
    EXPECT_DOUBLE_EQ(one[i].share, 1 - other[i].share);
    EXPECT_NEAR(normal_preference(one[i]), 1 - normal_preference(other[i]), 1e-15);
  }
}

TEST(Strength, RefusesVotesOfAnotherShape) {
  EXPECT_THROW(rewards::strengths_of(at::zeros({3}, at::kDouble)), c10::Error);
  EXPECT_THROW(rewards::strengths_of(at::zeros({3, 2}, at::kFloat)), c10::Error);
}

TEST(EqualUnits, DivideByTheRootMeanSquareOfWhatIsKnown) {
  const at::Tensor found = rewards::in_equal_units(rows({{3, 0, 1}, {-4, 0, kNone}}));
  const double unit = std::sqrt(12.5);
  EXPECT_NEAR(found[0][0].item<double>(), 3 / unit, 1e-12);
  EXPECT_NEAR(found[1][0].item<double>(), -4 / unit, 1e-12);
  EXPECT_EQ(found[0][1].item<double>(), 0);
  EXPECT_EQ(found[0][2].item<double>(), 1);
  EXPECT_TRUE(std::isnan(found[1][2].item<double>()));
}

TEST(EqualUnits, DoNotDependOnTheUnit) {
  const at::Tensor votes = rows({{1, 2}, {-3, 4}, {5, -6}});
  const at::Tensor scaled = votes * at::tensor({1000.0, 0.001}, at::kDouble);
  EXPECT_TRUE(at::allclose(rewards::in_equal_units(votes), rewards::in_equal_units(scaled)));
}

TEST(NormalPreference, IsThatOfTheTables) {
  EXPECT_NEAR(rewards::normal_preference({.mean = 2, .deviation = 2}), 0.841344746, 1e-8);
  EXPECT_NEAR(rewards::normal_preference({.mean = -1.96, .deviation = 1}), 0.024997895, 1e-8);
  EXPECT_EQ(rewards::normal_preference({.mean = 1, .deviation = 0}), 1);
  EXPECT_EQ(rewards::normal_preference({.mean = -1, .deviation = 0}), 0);
  EXPECT_EQ(rewards::normal_preference({.mean = 0, .deviation = 3}), 0.5);
}

}  // namespace
