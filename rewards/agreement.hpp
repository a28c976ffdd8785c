#pragma once

// How well predictions follow targets.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

namespace rewards {

// x, y: [N], N >= 2. 0 where either does not vary.
double pearson(const at::Tensor& x, const at::Tensor& y);
// Pearson's correlation of the ranks; equal values share their mean rank.
double spearman(const at::Tensor& x, const at::Tensor& y);

struct Agreement {
  double spearman = 0, spearman_low = 0,
         spearman_high = 0;  // with a 95 % interval, bootstrap over the N pairs
  double pearson = 0;
  double mean_absolute_error = 0;
};
Agreement agreement(const at::Tensor& prediction,
                    const at::Tensor& target,
                    int64_t resamples,
                    at::Generator& generator);

}  // namespace rewards
