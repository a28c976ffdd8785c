#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace data {

// In what type matrix products on `device` are computed now: fp32, or what libtorch's autocast
// says.
c10::ScalarType product_type(c10::DeviceType device);

// While it lives, matrix products on `device` that would run in fp16 run in fp32: for networks
// whose activations leave fp16's range, 65504. bf16, which has fp32's range, stays. `wanted` false:
// no change.
class FullPrecision {
 public:
  FullPrecision(bool wanted, c10::DeviceType device);
  ~FullPrecision();
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;

 private:
  c10::DeviceType device_;
  bool changed_;
};

}  // namespace data
