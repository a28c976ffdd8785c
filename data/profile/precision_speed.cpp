#include "data/profile/precision_speed.hpp"

#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>

namespace data {
namespace {

double matmul_rate(at::ScalarType type, double seconds) {
  constexpr int64_t kSize = 1024;
  const auto a = at::ones({kSize, kSize}, at::TensorOptions(type));
  return operation_rate(2.0 * kSize * kSize * kSize, seconds, [&] { at::mm(a, a); });
}

// A backward pass included, because bf16 on a CPU is often slow there though its product is fast.
double convolution_rate(at::ScalarType type, double seconds) {
  constexpr int64_t kBatch = 16, kWidth = 96, kSide = 8;
  const auto x =
      at::ones({kBatch, kWidth, kSide, kSide}, at::TensorOptions(type)).requires_grad_(true);
  const auto w = at::ones({kWidth, kWidth, 3, 3}, at::TensorOptions(type)).requires_grad_(true);
  const double forward = 2.0 * 9 * kBatch * kWidth * kWidth * kSide * kSide;
  return operation_rate(3 * forward, seconds, [&] { at::conv2d(x, w, {}, 1, 1).sum().backward(); });
}

}  // namespace

double operation_rate(double operations, double seconds, const std::function<void()>& work) {
  work();
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  double passed = 0, done = 0;
  while (passed < seconds) {
    work();
    done += operations;
    passed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return done / passed / 1e9;
}

PrecisionSpeed measure_precision(at::ScalarType type, double seconds) {
  return {.matmul = matmul_rate(type, seconds), .convolution = convolution_rate(type, seconds)};
}

std::string compare_precisions(const PrecisionSpeed& fp32, const PrecisionSpeed& bf16) {
  const bool slower = bf16.convolution < fp32.convolution;
  const double times =
      slower ? fp32.convolution / bf16.convolution : bf16.convolution / fp32.convolution;
  char text[160];
  std::snprintf(text, sizeof text,
                "bf16 trains a convolution at %.1f GFLOP/s here, fp32 at %.1f: %.1f times %s",
                bf16.convolution, fp32.convolution, times, slower ? "slower" : "faster");
  return text;
}

}  // namespace data
