#include "rewards/combine/proxy_points.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace {

const std::vector<int64_t> kOnePrompt{3, 3, 3, 3, 3};
const at::Tensor kProxy = at::tensor({1.0, 2.0, 3.0, 4.0, 5.0}, at::kDouble);

double point(const at::Tensor& gold) {
  return rewards::proxy_points(kProxy.unsqueeze(1), gold, kOnePrompt)[0].item<double>();
}

// Of five, the best of n is the i-th with probability C(i - 1, n - 1) / C(5, n).
TEST(ProxyPoints, AreWhereTheGoldMeanIsLargest) {
  // n = 1: 1.4; n = 2: (0 + 1 + 4 + 9 + 4) / 10 = 1.8; n = 3: (2 + 9 + 6) / 10 = 1.7
  EXPECT_NEAR(point(at::tensor({0.0, 1.0, 2.0, 3.0, 1.0}, at::kDouble)), 4, 1e-9);
  EXPECT_NEAR(point(-kProxy), 3, 1e-9);  // the start's own mean
  EXPECT_EQ(point(kProxy), rewards::kNoCap);
  EXPECT_NEAR(point(at::zeros({5}, at::kDouble)), 3, 1e-9);  // the smallest n of equal ones
}

TEST(ProxyPoints, LeaveOutWhatIsNotRated) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor x = at::tensor({1.0, 5.0, nan, 7.0, 2.0}, at::kDouble).unsqueeze(1),
                   gold = at::tensor({2.0, 1.0, 9.0, 9.0, nan}, at::kDouble);
  EXPECT_NEAR(rewards::proxy_points(x, gold, {0, 0, 0, 1, 1})[0].item<double>(), 3, 1e-9);
  EXPECT_EQ(rewards::proxy_points(x, gold, {0, 1, 2, 3, 4})[0].item<double>(), rewards::kNoCap);
  EXPECT_THROW(rewards::proxy_points(x, gold, {0}), c10::Error);
}

}  // namespace
