#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/flops.hpp"

namespace {

TEST(CountFlops, MatrixProductsAndConvolutionsByHand) {
  const at::Tensor a = at::ones({3, 5}), b = at::ones({5, 7}), bias = at::ones({7});
  EXPECT_EQ(data::count_flops([&] { a.mm(b); }), 2 * 3 * 5 * 7);
  EXPECT_EQ(data::count_flops([&] { at::linear(a, b.t(), bias); }), 2 * 3 * 5 * 7);
  EXPECT_EQ(data::count_flops([&] {
              at::linear(a.view({1, 3, 5}), b.t().contiguous(), bias);
            }),
            2 * 3 * 5 * 7);
  const at::Tensor x = at::ones({2, 4, 8, 8}), w = at::ones({6, 4, 3, 3});
  EXPECT_EQ(data::count_flops([&] { at::conv2d(x, w, {}, 1, 1); }), 2.0 * 2 * 6 * 64 * 4 * 9);
  EXPECT_EQ(data::count_flops([&] { at::conv2d(x, w, {}, 2, 1); }), 2.0 * 2 * 6 * 16 * 4 * 9);
  EXPECT_EQ(data::count_flops([&] { (a + a).exp(); }), 0);
}

TEST(CountFlops, AGradientCostsOneOrTwoForwards) {
  const at::Tensor x = at::ones({2, 4, 8, 8}), w = at::ones({6, 4, 3, 3}).requires_grad_(true);
  const double forward = 2.0 * 2 * 6 * 64 * 4 * 9;
  EXPECT_EQ(data::count_flops([&] { at::conv2d(x, w, {}, 1, 1).sum().backward(); }), 2 * forward);
  const at::Tensor y = x.clone().requires_grad_(true);
  EXPECT_EQ(data::count_flops([&] { at::conv2d(y, w, {}, 1, 1).sum().backward(); }), 3 * forward);
}

TEST(CountFlops, Attention) {
  const at::Tensor q = at::ones({2, 3, 5, 8}), k = at::ones({2, 3, 7, 8});
  EXPECT_EQ(data::count_flops([&] { at::scaled_dot_product_attention(q, k, k); }),
            4.0 * 2 * 3 * 5 * 7 * 8);
}

}  // namespace
