#pragma once

// How strongly several members (reward models, or rewards) prefer one image of a pair: Wang et al.,
// "Secrets of RLHF in large language models, part II: reward modeling" (2024), section 2, measuring
// the strength of preferences.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace rewards {

// With d_m the score of a minus that of b by member m, of the M members that vote:
//   mean = 1/M sum_m d_m,  deviation = sqrt(1/M sum_m (d_m - mean)^2)
struct Strength {
  double mean = 0;
  double deviation = 0;
  double share = 0.5;  // of the votes that are for a; d_m = 0 counts a half
  int64_t votes = 0;   // M; 0: nobody voted, the rest says nothing
};

// differences: [N, M] fp64, a minus b; NaN: the member does not vote. -> N
std::vector<Strength> strengths_of(const at::Tensor& differences);

// Each column divided by the root mean square of its values, so that members of different units
// have votes of equal size; a column of zeros stays. NaN is passed over. differences: [N, M] fp64
at::Tensor in_equal_units(const at::Tensor& differences);

// Phi(mean / deviation): that a is better, if votes were normal. Without deviation 1, 0 or 1/2.
double normal_preference(const Strength& strength);

}  // namespace rewards
