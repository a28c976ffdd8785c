#include "data/profile/precision_speed.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace {

TEST(PrecisionSpeed, CountsTheOperationsOfTheCallsThatWereTimed) {
  int calls = 0;
  const double rate = data::operation_rate(1e9, 0.05, [&] {
    ++calls;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  });
  EXPECT_GE(calls, 2);     // one to warm up, one at least that counts
  EXPECT_LE(rate, 100.0);  // 1 GFLOP in no less than 10 ms
  EXPECT_GT(rate, 0.0);
}

TEST(PrecisionSpeed, SaysWhichPrecisionTrainsFasterAndByHowMuch) {
  EXPECT_EQ(data::compare_precisions({.matmul = 100, .convolution = 50},
                                     {.matmul = 10, .convolution = 5}),
            "bf16 trains a convolution at 5.0 GFLOP/s here, fp32 at 50.0: 10.0 times slower");
  EXPECT_EQ(
      data::compare_precisions({.matmul = 1, .convolution = 10}, {.matmul = 3, .convolution = 25}),
      "bf16 trains a convolution at 25.0 GFLOP/s here, fp32 at 10.0: 2.5 times faster");
}

}  // namespace
