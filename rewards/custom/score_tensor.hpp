#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace rewards {

// [B] of scores, one an image; missing (NaN) where one is no finite float.
at::Tensor tensor_of_scores(const std::vector<double>& scores);

}  // namespace rewards
