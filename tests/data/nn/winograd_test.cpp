#include "data/nn/winograd.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "data/nn/layers.hpp"
#include "data/profile/flops.hpp"

namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::kFloat).normal_(0, 1, generator);
}

// The convolution in double precision.
at::Tensor exact(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
  return at::conv2d(wide(x), wide(weight), wide(bias), 1, 1);
}

// Root mean square of the difference, as a share of that of `expected`.
double error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

// A pixel of 1 with weights 1 to 9: the turned weights around it, and the bias.
TEST(Winograd, SpreadsAPixelAsTheWeightsSay) {
  at::Tensor x = at::zeros({1, 1, 5, 6});
  x[0][0][2][3] = 1;
  const at::Tensor weight = at::arange(1, 10, at::kFloat).view({1, 1, 3, 3});
  const at::Tensor y = nn::winograd_conv2d(x, weight, at::full({1}, 0.5F));
  at::Tensor expected = at::full({1, 1, 5, 6}, 0.5F);
  expected.narrow(2, 1, 3).narrow(3, 2, 3) += weight.flip({2, 3});
  EXPECT_TRUE(at::allclose(y, expected, 0, 1e-5)) << y;
}

// Sides that are no multiple of a tile, one pixel, several blocks of tiles, several images.
TEST(Winograd, EqualsTheConvolutionAtEverySize) {
  const int64_t sizes[][5] = {
      {1, 3, 2, 1, 1}, {2, 5, 4, 9, 7}, {1, 7, 3, 4, 130}, {3, 16, 8, 33, 6}, {2, 40, 24, 70, 66}};
  for (const auto& [batch, in, out, height, width] : sizes) {
    const at::Tensor x = normal({batch, in, height, width}, 1), weight = normal({out, in, 3, 3}, 2),
                     bias = normal({out}, 3);
    EXPECT_LT(error(nn::winograd_conv2d(x, weight, bias), exact(x, weight, bias)), 1e-5)
        << height << " x " << width;
    EXPECT_LT(error(nn::winograd_conv2d(x, weight, {}), exact(x, weight, at::zeros({out}))), 1e-5);
  }
}

// A direct convolution's error depends on the processor: 2e-7 to 1.2e-6 here and there.
TEST(Winograd, RoundsToAFewMillionths) {
  const at::Tensor x = normal({2, 320, 32, 32}, 1), weight = normal({128, 320, 3, 3}, 2),
                   bias = normal({128}, 3);
  EXPECT_LT(error(nn::winograd_conv2d(x, weight, bias), exact(x, weight, bias)), 4e-6);
}

TEST(Winograd, ReadsPartsOfATensor) {
  const at::Tensor all = normal({2, 12, 10, 9}, 1), weight = normal({4, 6, 3, 3}, 2);
  const at::Tensor part = all.narrow(1, 3, 6).transpose(2, 3);
  EXPECT_LT(error(nn::winograd_conv2d(part, weight, {}), exact(part, weight, at::zeros({4}))),
            1e-5);
}

// The same value with a gradient, and the gradients of a direct convolution in double precision.
TEST(Winograd, HasTheConvolutionsGradients) {
  const at::Tensor x = normal({2, 6, 9, 10}, 1), weight = normal({5, 6, 3, 3}, 2),
                   bias = normal({5}, 3), grad = normal({2, 5, 9, 10}, 4);
  const auto leaf = [](const at::Tensor& t, at::ScalarType type) {
    return t.to(type, false, true).requires_grad_(true);
  };
  const auto gradients = [&](at::ScalarType type, const auto& forward) {
    const std::vector<at::Tensor> leaves{leaf(x, type), leaf(weight, type), leaf(bias, type)};
    forward(leaves).backward(grad.to(type));
    return std::vector<at::Tensor>{leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
  };
  const auto found = gradients(
      at::kFloat, [](const auto& in) { return nn::winograd_conv2d(in[0], in[1], in[2]); });
  const auto expected =
      gradients(at::kDouble, [](const auto& in) { return at::conv2d(in[0], in[1], in[2], 1, 1); });
  for (size_t i = 0; i < found.size(); ++i) EXPECT_LT(error(found[i], expected[i]), 1e-5) << i;
  const at::Tensor with = nn::winograd_conv2d(leaf(x, at::kFloat), weight, bias).detach();
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(nn::winograd_conv2d(x, weight, bias), with));
}

TEST(Winograd, GivesNoGradientThatIsNotAskedFor) {
  const at::Tensor x = normal({1, 3, 5, 5}, 1).requires_grad_(true),
                   weight = normal({2, 3, 3, 3}, 2);
  nn::winograd_conv2d(x, weight, {}).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(weight.grad().defined());
}

TEST(Winograd, PaysForManyPixelsAndChannelsInFp32Alone) {
  const at::Tensor x = at::empty({2, 320, 32, 32}), weight = at::empty({320, 320, 3, 3});
  EXPECT_TRUE(nn::winograd_pays(x, weight, 1, 1));
  EXPECT_TRUE(nn::winograd_pays(x.clone().requires_grad_(true), weight, 1, 1));
  EXPECT_FALSE(nn::winograd_pays(x, weight, 2, 1));
  EXPECT_FALSE(nn::winograd_pays(x, weight, 1, 0));
  EXPECT_FALSE(nn::winograd_pays(x, at::empty({320, 320, 1, 1}), 1, 0));
  EXPECT_FALSE(nn::winograd_pays(x, at::empty({4, 320, 3, 3}), 1, 1));
  EXPECT_FALSE(nn::winograd_pays(at::empty({1, 320, 16, 16}), weight, 1, 1));
  EXPECT_FALSE(nn::winograd_pays(at::empty({16, 320, 8, 8}), weight, 1, 1));
  EXPECT_FALSE(nn::winograd_pays(x.to(at::kDouble), weight.to(at::kDouble), 1, 1));
  EXPECT_FALSE(nn::winograd_pays(x.to(at::kMeta), weight.to(at::kMeta), 1, 1));
  at::autocast::set_autocast_enabled(at::kCPU, true);
  EXPECT_FALSE(nn::winograd_pays(x, weight, 1, 1));
  at::autocast::set_autocast_enabled(at::kCPU, false);
}

TEST(Winograd, CountsAsADirectConvolution) {
  const at::Tensor x = normal({2, 128, 16, 16}, 1), weight = normal({160, 128, 3, 3}, 2);
  const nn::Conv2d layer{weight, normal({160}, 3), {}};
  ASSERT_TRUE(nn::winograd_pays(x, weight, 1, 1));
  const int64_t direct = data::count_flops([&] { at::conv2d(x, weight, {}, 1, 1); });
  EXPECT_EQ(data::count_flops([&] { nn::conv2d(layer, x, 1, 1); }), direct);
}

TEST(Winograd, RefusesOtherShapes) {
  const at::Tensor x = at::zeros({1, 3, 4, 4});
  EXPECT_THROW(nn::winograd_conv2d(x, at::zeros({2, 3, 1, 1}), {}), c10::Error);
  EXPECT_THROW(nn::winograd_conv2d(x, at::zeros({2, 4, 3, 3}), {}), c10::Error);
  EXPECT_THROW(nn::winograd_conv2d(x.to(at::kDouble), at::zeros({2, 3, 3, 3}), {}), c10::Error);
}

}  // namespace
