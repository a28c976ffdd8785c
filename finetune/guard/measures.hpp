#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace guard {

// What the guard keeps of an evaluation: I images of fixed prompts and seeds.
struct Measures {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  at::Tensor trained;           // [I, M] fp64 raw rewards
  at::Tensor held_out;          // [I, H] fp64 raw rewards that are not trained
  at::Tensor statistics;        // [I, S] fp64, of image_statistics
  at::Tensor nearest;           // [I] fp64, of nearest_elsewhere
  double diversity = kNone;     // mean distance within a prompt; NaN: not measured, as below
  double kl_nats = kNone;       // a trajectory
  double disagreement = kNone;  // mean variance among the members of a trained reward
};

// 1 - cosine to the nearest image of another prompt, in [0, 2]; NaN where there is none. features:
// [I, D] -> [I] fp64
at::Tensor nearest_elsewhere(const at::Tensor& features, const std::vector<int64_t>& prompt_ids);

}  // namespace guard
