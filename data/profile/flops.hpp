#pragma once

// Floating-point operations of what libtorch runs, from the shapes that its matrix products,
// convolutions, attentions and their gradients are called with. A multiplication and an addition
// are two operations; element-wise work counts nothing.

#include <cstdint>
#include <functional>
#include <string_view>

namespace data {

// The count while `work` runs, on all threads, in operations. One at a time.
int64_t count_flops(const std::function<void()>& work);

// Whether an operation of that name ("aten::mm") is counted.
bool is_product(std::string_view name);

}  // namespace data
