#pragma once

// The CUDA kernels as g++ compiles them for these tests (data/nn/kernels/launch_on_cpu.hpp).

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/nn/kernels/kernels.hpp"
#include "data/nn/kernels/launch_on_cpu.hpp"

namespace tests {

inline const kernels::Library& kernels_on_cpu() {
  static const kernels::Library library{.problem = laurel_kernels_problem,
                                        .group_norm = laurel_group_norm,
                                        .group_norm_backward = laurel_group_norm_backward,
                                        .layer_norm = laurel_layer_norm,
                                        .layer_norm_backward = laurel_layer_norm_backward,
                                        .geglu = laurel_geglu,
                                        .geglu_backward = laurel_geglu_backward};
  return library;
}

// Threads and blocks take turns in the order of that seed while it lives; 0: by number.
struct Turns {
  explicit Turns(uint64_t seed) { kernels::shim::machine().order = seed; }
  ~Turns() { kernels::shim::machine().order = 0; }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;
};

// A tensor amid values that are no numbers: an access beside it spoils a result or the guards.
// skew: elements by which it misses an alignment of 16 bytes.
struct Guarded {
  static constexpr int64_t kGuard = 64;
  at::Tensor whole, inner;
  explicit Guarded(const at::Tensor& x, int64_t skew = 0)
      : whole(at::full(
            {x.numel() + 2 * kGuard}, std::numeric_limits<double>::quiet_NaN(), x.options())),
        inner(whole.narrow(0, kGuard + skew, x.numel()).view(x.sizes())) {
    inner.copy_(x);
  }
  bool intact() const {
    const auto written = whole.isnan().logical_not().sum().item<int64_t>();
    return written == inner.numel() && !inner.isnan().any().item<bool>();
  }
};

inline LaurelType type_of(at::ScalarType type) {
  return type == at::kFloat      ? kLaurelFloat
         : type == at::kHalf     ? kLaurelHalf
         : type == at::kBFloat16 ? kLaurelBFloat16
                                 : kLaurelDouble;
}
inline at::ScalarType wide(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}
// Twice the spacing of numbers near 1: what a result may miss its value by, relative.
inline double spacing(at::ScalarType type) {
  return type == at::kFloat      ? 1e-5  // of sums
         : type == at::kHalf     ? 0x1p-9
         : type == at::kBFloat16 ? 0x1p-6
                                 : 1e-12;
}
// found is of `type`'s precision, relative to `expected` where that is larger than 1.
inline void expect_near(const at::Tensor& found, const at::Tensor& expected, at::ScalarType type) {
  const at::Tensor exact = expected.to(at::kDouble),
                   apart = (found.to(at::kDouble) - exact).abs() / (exact.abs() + 1);
  EXPECT_LT(apart.max().item<double>(), spacing(type));
}

}  // namespace tests
