#pragma once

// Where more of a reward stops being better: the proxy points of Moskovitz et al. 2023,
// "Confronting reward model overoptimization with constrained RLHF", from images of the start.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace rewards {

// The unbiased estimate, from N samples, of the mean gold reward of the best of n by proxy: sorted
// by proxy, sum over i >= n of C(i - 1, n - 1) / C(N, n) gold_i (Nakano et al. 2021). Samples of
// equal proxy share their mean gold. 1 <= n <= N.
double best_of_n(const std::vector<double>& proxy, const std::vector<double>& gold, int64_t n);

constexpr double kNoCap = std::numeric_limits<double>::max();

// For each reward, its mean at the n at which the gold mean of the best of n by it is largest (the
// smallest such n); kNoCap where that is the largest n, up to the fewest rated images of a prompt,
// and without a prompt of two. Rows that are not finite are left out.
// x: [P, M] raw; gold: [P]; prompt_ids: P -> [M] fp64
at::Tensor proxy_points(const at::Tensor& x,
                        const at::Tensor& gold,
                        const std::vector<int64_t>& prompt_ids);

}  // namespace rewards
