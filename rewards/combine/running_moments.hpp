#pragma once

#include <ATen/core/Tensor.h>

namespace rewards {

// Mean and spread of all values seen so far, by Chan, Golub and LeVeque's update (1979).
struct RunningMoments {
  double count = 0;
  at::Tensor mean, squares;  // [M]; undefined before the first update
};
// x: [P, M]; rows with a value that is not finite are left out.
void update(RunningMoments& moments, const at::Tensor& x);
// (x - mean) / deviation (of the population); a column that never varied becomes 0. x: [P, M] ->
// [P, M] fp64. Throws c10::Error before the first update.
at::Tensor standardised(const RunningMoments& moments, const at::Tensor& x);

}  // namespace rewards
