#pragma once

// In what order an epoch passes over its samples.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace train {

// The numbers 0 .. count - 1 in an order that follows from the seed and the epoch alone, so that a
// resumed run meets the same batches. -> [count] int64
at::Tensor epoch_order(int64_t seed, int64_t epoch, int64_t count);

}  // namespace train
