#include "data/nn/rotary.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(Rotary, ByHand) {
  // Two axes of widths 2 and 4: rates 1; 1 and 1/100.
  const auto table =
      nn::rotary_table(at::tensor({3.0, 0.0, 0.0, 2.0}, at::kDouble).view({2, 2}), {2, 4});
  EXPECT_EQ(table.cos.sizes(), (std::vector<int64_t>{2, 3}));
  const at::Tensor x = at::tensor({1.0, 0.0, 0.0, 1.0, 2.0, 3.0}, at::kFloat);
  const at::Tensor y = nn::rotate(table, x.view({1, 1, 1, 6}).expand({1, 2, 1, 6}));
  const auto value = [&](int64_t token, int64_t channel) {
    return y[0][token][0][channel].item<double>();
  };
  EXPECT_NEAR(value(0, 0), std::cos(3), 1e-6);
  EXPECT_NEAR(value(0, 1), std::sin(3), 1e-6);
  EXPECT_NEAR(value(0, 3), 1, 1e-6);
  EXPECT_NEAR(value(1, 0), 1, 1e-6);
  EXPECT_NEAR(value(1, 2), -std::sin(2), 1e-6);
  EXPECT_NEAR(value(1, 3), std::cos(2), 1e-6);
  EXPECT_NEAR(value(1, 4), 2 * std::cos(0.02) - 3 * std::sin(0.02), 1e-6);
  EXPECT_NEAR(value(1, 5), 3 * std::cos(0.02) + 2 * std::sin(0.02), 1e-6);
}

// What it is for: products of queries and keys depend on the distance of their places alone.
TEST(Rotary, ProductsDependOnDistances) {
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor q = at::randn({8}, generator, at::TensorOptions(at::kDouble)),
                   k = at::randn({8}, generator, at::TensorOptions(at::kDouble));
  const auto product = [&](double a, double b) {
    const auto table = nn::rotary_table(at::tensor({a, b}, at::kDouble).view({2, 1}), {8});
    const at::Tensor turned = nn::rotate(table, at::stack({q, k}).view({1, 2, 1, 8}));
    return turned[0][0][0].dot(turned[0][1][0]).item<double>();
  };
  EXPECT_NEAR(product(5, 2), product(13, 10), 1e-5);
  EXPECT_GT(std::abs(product(5, 2) - product(5, 3)), 1e-3);
}

TEST(Rotary, KeepsTheTypeAndRefusesOtherSizes) {
  const auto table = nn::rotary_table(at::zeros({3, 1}), {4});
  const at::Tensor x = at::ones({2, 3, 5, 4}, at::kBFloat16);
  EXPECT_EQ(nn::rotate(table, x).scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(nn::rotate(table, x), x));
  EXPECT_TRUE(nn::rotate({}, x).is_same(x));
  EXPECT_THROW(nn::rotate(table, at::ones({2, 4, 5, 4})), c10::Error);
  EXPECT_THROW(nn::rotate(table, at::ones({2, 3, 5, 6})), c10::Error);
  EXPECT_THROW(nn::rotary_table(at::zeros({3, 2}), {4}), c10::Error);
  EXPECT_THROW(nn::rotary_table(at::zeros({3, 1}), {3}), c10::Error);
}

}  // namespace
