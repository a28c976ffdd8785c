#pragma once

#include <cstdint>
#include <functional>

namespace finetune {

// Runs work(0) .. work(count - 1) at once, each on a thread of its own, and waits for all. The
// first exception is thrown on. On few cores and small networks this is several times faster than
// threads inside each operation.
void in_parallel(int64_t count, const std::function<void(int64_t worker)>& work);

}  // namespace finetune
