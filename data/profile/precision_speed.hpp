#pragma once

// How fast this CPU computes in a precision: where bf16 has no instructions of its own it is many
// times slower than fp32, where it has (AMX) several times faster.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace data {

// GFLOP/s of work that takes `operations` a call, measured for `seconds` after one call to warm up.
double operation_rate(double operations, double seconds, const std::function<void()>& work);

// GFLOP/s on the CPU, each measured for `seconds`.
struct PrecisionSpeed {
  double matmul = 0;       // products of 1024 x 1024 matrices
  double convolution = 0;  // a 3x3 convolution of the embedded UNet's size, forward and backward
};
PrecisionSpeed measure_precision(at::ScalarType type, double seconds);

// "bf16 trains a convolution at 12.1 GFLOP/s here, fp32 at 140.2: 11.6 times slower", or faster.
std::string compare_precisions(const PrecisionSpeed& fp32, const PrecisionSpeed& bf16);

}  // namespace data
