#pragma once

// Root mean square normalisation (Zhang and Sennrich 2019).

#include "data/nn/layers.hpp"

namespace nn {

// x / sqrt(mean(x^2) + eps) times w.weight, over the last axis; the mean is computed in fp32 at
// least. w.bias is not read. x: [..., C] -> [..., C] of the same dtype
at::Tensor rms_norm(const Norm& w, const at::Tensor& x, double eps);

}  // namespace nn
