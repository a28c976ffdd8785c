#pragma once

// Agreement of predictions with targets.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

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

struct Interval {
  double value = 0, low = 0, high = 0;  // 95 %
};
// The mean of values that come in groups (pairs of a prompt), with an interval from a bootstrap
// over the groups. values: [N], groups: N.
Interval grouped_mean(const at::Tensor& values,
                      const std::vector<int64_t>& groups,
                      int64_t resamples,
                      at::Generator& generator);

// The value of `value_of` on all items, with a 95 % interval from 1,000 bootstrap resamples.
// `drawn`: item numbers below `count`, with replacement; the same resamples at every call. count >=
// 1
Interval bootstrap(size_t count,
                   const std::function<double(const std::vector<size_t>& drawn)>& value_of);

// Does the higher score have more votes? 1 yes, 0 no, 0.5 for equal scores; NaN for equal votes.
// All [N] -> [N]
at::Tensor pair_agreement(const at::Tensor& score_a,
                          const at::Tensor& score_b,
                          const at::Tensor& votes_a,
                          const at::Tensor& votes_b);

}  // namespace rewards
