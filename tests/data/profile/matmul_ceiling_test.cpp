#include "data/profile/matmul_ceiling.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace {

TEST(MatmulCeiling, WallTimeIsAtLeastWhatTheWorkSleeps) {
  const double seconds = data::wall_seconds(
      at::kCPU, [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  EXPECT_GE(seconds, 0.02);
}

TEST(MatmulCeiling, IsAPlausibleRateOfAProcessor) {
  const double rate = data::matmul_ceiling(at::kCPU, at::kFloat, 1);
  EXPECT_GT(rate, 1e8);
  EXPECT_LT(rate, 1e14);
}

TEST(MatmulCeiling, RefusesToRunNever) {
  EXPECT_THROW(data::matmul_ceiling(at::kCPU, at::kFloat, 0), c10::Error);
}

}  // namespace
