#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace data {

// The dtype in which matrix products on `device` are computed now: fp32, or that of libtorch's
// autocast.
c10::ScalarType product_type(c10::DeviceType device);

// RAII: matrix products on `device` that would run in fp16 run in fp32, for networks whose
// activations exceed fp16's range, 65504. bf16, which has fp32's range, is unchanged. `wanted`
// false: no effect.
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
