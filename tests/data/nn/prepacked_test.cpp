#include "data/nn/prepacked.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "data/nn/layers.hpp"
#include "data/profile/flops.hpp"

namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::kFloat).normal_(0, 1, generator);
}

double error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

nn::Linear packed(const nn::Linear& layer, int64_t rows) {
  return {nn::prepacked_linear_weight(layer.weight, rows), layer.bias, layer.lora};
}

// Twice the identity, and a bias.
TEST(Prepacked, DoublesItsInput) {
  const nn::Linear layer{at::eye(320) * 2, at::full({320}, 0.5F), {}};
  const at::Tensor x = normal({2, 3, 320}, 1);
  EXPECT_TRUE(at::equal(nn::linear(packed(layer, 6), x), 2 * x + 0.5));
}

TEST(Prepacked, EqualsThePlainLayerAtEveryNumberOfRows) {
  for (const bool bias : {false, true}) {
    const nn::Linear layer{normal({640, 320}, 1), bias ? normal({640}, 2) : at::Tensor(), {}};
    const nn::Linear fast = packed(layer, 64);
    for (const int64_t rows : {1, 64, 77}) {
      const at::Tensor x = normal({2, rows, 320}, 3);
      EXPECT_LT(error(nn::linear(fast, x), nn::linear(layer, x)), 1e-5) << rows;
    }
  }
}

TEST(Prepacked, EqualsThePlainConvolutionAtEverySize) {
  struct Case {
    int64_t kernel, stride;
  };
  for (const auto& [kernel, stride] : {Case{3, 1}, Case{3, 2}, Case{1, 1}}) {
    const nn::Conv2d layer{normal({320, 384, kernel, kernel}, 1), normal({320}, 2), {}};
    const int64_t pad = kernel / 2;
    nn::Conv2d fast = layer;
    fast.weight = nn::prepacked_conv2d_weight(layer.weight, {2, 384, 8, 8}, stride, pad);
    for (const int64_t side : {4, 8, 13}) {
      const at::Tensor x = normal({2, 384, side, side}, 3);
      const at::Tensor expected = at::conv2d(x, layer.weight, layer.bias, stride, pad);
      EXPECT_LT(error(nn::conv2d(fast, x, stride, pad), expected), 1e-5) << side;
    }
  }
}

TEST(Prepacked, KeepsAnAdapterAndTheGradientOfItsInput) {
  nn::Linear layer{normal({320, 320}, 1), normal({320}, 2), {}};
  layer.lora = {normal({4, 320}, 3), normal({320, 4}, 4), 0.5};
  const nn::Linear fast = packed(layer, 5);
  const auto gradient = [](const nn::Linear& w) {
    const at::Tensor x = normal({5, 320}, 5).requires_grad_(true);
    nn::linear(w, x).square().sum().backward();
    return x.grad();
  };
  EXPECT_LT(error(gradient(fast), gradient(layer)), 1e-5);
  const nn::Conv2d plain{normal({320, 320, 3, 3}, 6), normal({320}, 7), {}};
  const nn::Conv2d quick{
      nn::prepacked_conv2d_weight(plain.weight, {1, 320, 4, 4}, 1, 1), plain.bias, {}};
  const auto pixel_gradient = [](const nn::Conv2d& w) {
    const at::Tensor x = normal({1, 320, 4, 4}, 8).requires_grad_(true);
    nn::conv2d(w, x, 1, 1).square().sum().backward();
    return x.grad();
  };
  EXPECT_LT(error(pixel_gradient(quick), pixel_gradient(plain)), 1e-5);
}

TEST(Prepacked, CountsTheSameOperations) {
  const at::Tensor x = normal({2, 320, 8, 8}, 1), weight = normal({320, 320, 3, 3}, 2);
  const at::Tensor fast = nn::prepacked_conv2d_weight(weight, x.sizes(), 2, 1);
  EXPECT_EQ(data::count_flops([&] { nn::prepacked_conv2d(x, fast, {}, 2, 1); }),
            data::count_flops([&] { at::conv2d(x, weight, {}, 2, 1); }));
  const nn::Linear layer{normal({320, 640}, 3), {}, {}};
  const at::Tensor rows = normal({3, 5, 640}, 4);
  const nn::Linear quick = packed(layer, 15);
  EXPECT_EQ(data::count_flops([&] { nn::linear(quick, rows); }), 2 * 15 * 320 * 640);
}

TEST(Prepacked, RefusesWhatDoesNotGain) {
  EXPECT_TRUE(nn::prepacking_pays(at::zeros({320, 320})));
  EXPECT_FALSE(nn::prepacking_pays(at::zeros({320, 64})));
  EXPECT_FALSE(nn::prepacking_pays(at::zeros({320})));
  EXPECT_FALSE(nn::prepacking_pays(at::zeros({320, 320}, at::kDouble)));
  EXPECT_FALSE(nn::prepacking_pays(at::zeros({320, 320}).requires_grad_(true)));
  EXPECT_FALSE(nn::prepacking_pays(at::empty({320, 320}, at::device(at::kMeta))));
  EXPECT_FALSE(nn::prepacking_pays(nn::prepacked_linear_weight(at::zeros({320, 320}), 1)));
  EXPECT_THROW(nn::prepacked_linear_weight(at::zeros({64, 320}), 1), c10::Error);
  EXPECT_THROW(nn::prepacked_conv2d_weight(at::zeros({320, 64, 3, 3}), {1, 64, 4, 4}, 1, 1),
               c10::Error);
}

}  // namespace
