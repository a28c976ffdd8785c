#pragma once

// The speed of plain matrix products, against which other work is measured.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace data {

// Seconds of wall time of `work`; waits until the device is idle before and after it.
double wall_seconds(at::Device device, const std::function<void()>& work);

// Operations a second of the fastest matrix product on the device (CPU: at the present number of
// threads) in this dtype: square matrices of random numbers, the best of three sizes (CPU: 512 to
// 2048; GPU: 2048 to 8192) and of `repeats` runs of each, at
// least 1.
double matmul_ceiling(at::Device device, at::ScalarType type, int64_t repeats);

}  // namespace data
