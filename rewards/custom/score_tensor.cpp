#include "rewards/custom/score_tensor.hpp"

#include <ATen/ATen.h>

#include <limits>

namespace rewards {

at::Tensor tensor_of_scores(const std::vector<double>& scores) {
  const at::Tensor values = at::tensor(scores, at::kDouble).to(at::kFloat);
  return values.masked_fill(values.isfinite().logical_not(),
                            std::numeric_limits<float>::quiet_NaN());
}

}  // namespace rewards
