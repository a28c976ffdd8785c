#include "data/profile/flops.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

namespace {

TEST(CountFlops, MatrixProductsAndConvolutionsByHand) {
  const at::Tensor a = at::ones({3, 5}), b = at::ones({5, 7}), bias = at::ones({7});
  EXPECT_EQ(data::count_flops([&] { a.mm(b); }), 2 * 3 * 5 * 7);
  EXPECT_EQ(data::count_flops([&] { at::linear(a, b.t(), bias); }), 2 * 3 * 5 * 7);
  EXPECT_EQ(data::count_flops([&] {
              at::ones({2, 3, 5}).bmm(at::ones({2, 5, 7}));
            }),
            2 * 2 * 3 * 5 * 7);
  EXPECT_EQ(data::count_flops([&] {
              at::linear(a.view({1, 3, 5}), b.t().contiguous(), bias);
            }),
            2 * 3 * 5 * 7);
  const at::Tensor x = at::ones({2, 4, 8, 8}), w = at::ones({6, 4, 3, 3});
  EXPECT_EQ(data::count_flops([&] { at::conv2d(x, w, {}, 1, 1); }), 2.0 * 2 * 6 * 64 * 4 * 9);
  EXPECT_EQ(data::count_flops([&] { at::conv2d(x, w, {}, 2, 1); }), 2.0 * 2 * 6 * 16 * 4 * 9);
  EXPECT_EQ(data::count_flops([&] { (a + a).exp(); }), 0);
}

TEST(CountFlops, ATransposedConvolutionSpreadsEachInputOverAFilter) {
  const at::Tensor x = at::ones({2, 4, 8, 8}), w = at::ones({4, 6, 3, 3});
  EXPECT_EQ(data::count_flops([&] { at::conv_transpose2d(x, w, {}, 2, 1); }),
            2 * 2 * 4 * 64 * 6 * 9);
}

TEST(CountFlops, CountsOtherThreadsAndOutlivesAFailure) {
  const at::Tensor a = at::ones({3, 5}), b = at::ones({5, 7});
  EXPECT_EQ(data::count_flops([&] { std::thread([&] { a.mm(b); }).join(); }), 2 * 3 * 5 * 7);
  EXPECT_THROW(data::count_flops([] { throw std::runtime_error("stop"); }), std::runtime_error);
  EXPECT_EQ(data::count_flops([&] { a.mm(b); }), 2 * 3 * 5 * 7);
}

TEST(CountFlops, AnInnerCountIsPartOfTheOuterOne) {
  const at::Tensor a = at::ones({3, 5}), b = at::ones({5, 7});
  int64_t inner = 0;
  const int64_t outer = data::count_flops([&] {
    a.mm(b);
    inner = data::count_flops([&] { a.mm(b); });
    a.mm(b);
  });
  EXPECT_EQ(inner, 2 * 3 * 5 * 7);
  EXPECT_EQ(outer, 3 * inner);
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
