#pragma once

// Floating-point operations of whatever runs while a counter lives, from the shapes that libtorch's
// matrix products, convolutions and attentions are called with. A multiplication and an addition
// are two operations; everything elementwise counts nothing.

#include <cstdint>

namespace bench {

// Counts the calls of all threads. One at a time.
class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;
  int64_t flops() const;

 private:
  uint64_t handle_;
};

}  // namespace bench
