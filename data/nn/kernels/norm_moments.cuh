#pragma once

// Common parts of the norms: mean and variance of many values, and the sums of their gradients.

#include "data/nn/kernels/launch.cuh"

namespace kernels {

// Mean of `count` values, and the sum of squared distances from it.
template <class W>
struct NormMoments {
  W count, mean, squares;
};
// The moments of two samples together (Chan, Golub and LeVeque 1983, eq. 2.1).
template <class W>
__device__ NormMoments<W> merged(const NormMoments<W>& a, const NormMoments<W>& b) {
  const W count = a.count + b.count;
  if (count == 0) return a;
  const W apart = b.mean - a.mean, share = b.count / count;
  return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
}

template <class W>
struct Statistics {
  W mean, rstd;  // rstd: 1 / sqrt(variance + eps)
};
template <class W>
__device__ Statistics<W> statistics_of(const NormMoments<W>& all, double eps) {
  return {all.mean, 1 / std::sqrt(all.squares / all.count + static_cast<W>(eps))};
}

// Sums over some values of the gradient g of z = weight xhat + bias, and of g xhat.
template <class W>
struct Sums {
  W g, g_xhat;
};
template <class W>
__device__ Sums<W> merged(const Sums<W>& a, const Sums<W>& b) {
  return {a.g + b.g, a.g_xhat + b.g_xhat};
}

}  // namespace kernels
