#include "data/profile/op_profiler.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace {

const data::OpTime* of(const data::OpTimes& times, const std::string& name) {
  for (const auto& other : times.others) {
    if (other.name == name) return &other;
  }
  return nullptr;
}

TEST(OpTimes, TellsProductsFromOthersAndFromNone) {
  const at::Tensor a = at::ones({128, 128});
  const auto times = data::op_times([&] {
    for (int i = 0; i < 3; ++i) at::linear(a, a);  // calls t and mm
    at::tanh(at::tanh(a));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  EXPECT_EQ(times.flop, 3.0 * 2 * 128 * 128 * 128);
  EXPECT_GT(times.products, 0);
  EXPECT_EQ(of(times, "aten::mm"), nullptr);
  ASSERT_NE(of(times, "aten::tanh"), nullptr);
  EXPECT_EQ(of(times, "aten::tanh")->calls, 2);
  EXPECT_GE(times.between, 0.05);
  EXPECT_GE(times.wall, times.products + times.between);
  EXPECT_GE(times.allocations, 5);
  EXPECT_GE(times.allocated, 5.0 * 128 * 128 * 4);
}

// Own times, products and the time between operations add up to the total.
TEST(OpTimes, AddUpToTheWall) {
  const at::Tensor x = at::rand({4, 8, 32, 32}).requires_grad_(true), w = at::rand({8, 8, 3, 3});
  const auto times = data::op_times(
      [&] { at::group_norm(at::silu(at::conv2d(x, w, {}, 1, 1)), 4).square().sum().backward(); });
  double sum = times.products + times.between;
  for (const auto& other : times.others) sum += other.seconds;
  EXPECT_NEAR(sum, times.wall, 1e-3 + 0.02 * times.wall);
  EXPECT_TRUE(x.grad().defined());
}

TEST(OpTimes, OthersComeLongestFirstAndOfThisThreadAlone) {
  const auto times = data::op_times([] {
    at::zeros({2}).exp();
    at::zeros({1000, 1000}).sin();
    std::thread([] { at::zeros({2}).cos(); }).join();
  });
  EXPECT_EQ(of(times, "aten::cos"), nullptr);
  ASSERT_NE(of(times, "aten::exp"), nullptr);
  EXPECT_LT(of(times, "aten::exp")->seconds, of(times, "aten::sin")->seconds);
  EXPECT_GE(times.others.front().seconds, times.others.back().seconds);
}

TEST(OpTimes, AnErrorPassesAndEndsTheWatch) {
  EXPECT_THROW(data::op_times([] { at::zeros({2, 3}).mm(at::zeros({2, 3})); }), c10::Error);
  const auto times = data::op_times([] { at::zeros({2}).exp(); });
  EXPECT_EQ(of(times, "aten::exp")->calls, 1);
}

TEST(OpTimes, TextNamesSharesAndTheCeiling) {
  const data::OpTimes times{.wall = 2,
                            .usage = {.user = 2.5, .system = 0.5, .page_faults = 9},
                            .products = 1,
                            .between = 0.5,
                            .flop = 4e9,
                            .calls = 7,
                            .allocations = 5,
                            .allocated = 1e9,
                            .others = {{"aten::silu", 2, 0.5}}};
  EXPECT_EQ(data::op_times_text(times, 8e9),
            "2.00 s, 3.00 of CPU and 0.50 of it in the system; 7 operations, 5 allocations of "
            "1.00 GB in all, 9 page faults\n"
            "  50.0 %  convolutions, matrix products, attention: 4.0 GFLOP/s, 50 % of a plain "
            "matrix product\n"
            "  25.0 %  aten::silu, 2 calls\n"
            "  25.0 %  between operations\n");
  EXPECT_EQ(data::op_times_text(times, 0).find("plain"), std::string::npos);
}

}  // namespace
