#pragma once

// Floating-point operations of what libtorch runs on this thread: matrix products, convolutions,
// attention and their gradients (a multiply-add counts two). Element-wise work is not counted.

#include <cstdint>
#include <functional>

namespace data {

// The count while `work` runs, in operations. Not to be nested.
double count_flops(const std::function<void()>& work);

}  // namespace data
