#include "rewards/combine/running_moments.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

at::Tensor rows(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}
double at_row(const at::Tensor& x, int64_t i) { return x[i].item<double>(); }

TEST(RunningMoments, PiecesGiveTheWhole) {
  const at::Tensor x = rows({1, 10, 2, 10, 6, 10, kNan, 10, 7, 10}, 2);
  rewards::RunningMoments moments;
  rewards::update(moments, x.slice(0, 0, 2));
  rewards::update(moments, x.slice(0, 2, 5));
  EXPECT_EQ(moments.count, 4);  // the row with a NaN is left out
  EXPECT_DOUBLE_EQ(at_row(moments.mean, 0), 4);
  EXPECT_DOUBLE_EQ(at_row(moments.squares, 0), 9 + 4 + 4 + 9);
  const at::Tensor z = rewards::standardised(moments, x);
  EXPECT_NEAR(z[0][0].item<double>(), -3 / std::sqrt(26.0 / 4), 1e-12);
  EXPECT_EQ(z[0][1].item<double>(), 0);  // never varied
  EXPECT_TRUE(std::isnan(z[3][0].item<double>()));
  EXPECT_THROW(rewards::standardised({}, x), c10::Error);
}

}  // namespace
