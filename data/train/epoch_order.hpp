#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace train {

// A permutation of 0 .. count - 1 that depends on the seed and the epoch alone, so that a resumed
// run gets the same batches. -> [count] int64
at::Tensor epoch_order(int64_t seed, int64_t epoch, int64_t count);

}  // namespace train
