#pragma once

// How well predictions follow targets.

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
// Mean of values that come in groups (pairs of a prompt), its interval by a bootstrap over the
// groups. values: [N], groups: N.
Interval grouped_mean(const at::Tensor& values,
                      const std::vector<int64_t>& groups,
                      int64_t resamples,
                      at::Generator& generator);

// 95 % of `value_of` over 1,000 draws, with replacement, of `count` things by their number: the
// same draws at every call. value: of all, each once. count >= 1
Interval bootstrap(size_t count,
                   const std::function<double(const std::vector<size_t>& drawn)>& value_of);

// Which of two scores is higher, judged by votes: 1 right, 0 wrong, 0.5 for equal scores; NaN where
// the votes are equal. All [N] -> [N]
at::Tensor pair_agreement(const at::Tensor& score_a,
                          const at::Tensor& score_b,
                          const at::Tensor& votes_a,
                          const at::Tensor& votes_b);

}  // namespace rewards
