#pragma once

// Counts floating-point operations from the shapes of libtorch's matrix products, convolutions,
// attentions and their gradients. A multiplication and an addition are two operations; element-wise
// work is not counted.

#include <cstdint>
#include <functional>
#include <string_view>

namespace data {

// Operations while `work` runs, on all threads. A call may stand within another, not beside one.
int64_t count_flops(const std::function<void()>& work);

// Whether count_flops counts an operation of this name: "aten::mm".
bool is_product(std::string_view name);

}  // namespace data
