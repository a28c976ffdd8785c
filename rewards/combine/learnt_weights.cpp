#include "rewards/combine/learnt_weights.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/combine/within_prompt.hpp"

namespace rewards {
namespace {

at::Tensor mean_of_rated(const at::Tensor& values, const at::Tensor& otherwise) {
  const at::Tensor rated = values.masked_select(values.isfinite());
  return rated.numel() > 0 ? rated.mean() : otherwise;
}

}  // namespace

at::Tensor starting_weights(const WeightLearning& learning, int64_t rewards) {
  at::Tensor weights = at::zeros({rewards}, at::kDouble);
  weights[learning.primary] = 1;
  return weights;
}

at::Tensor stepped_weights(const at::Tensor& weights,
                           const at::Tensor& x,
                           const std::vector<int64_t>& prompt_ids,
                           const WeightLearning& learning) {
  data::check_shape(x, {static_cast<int64_t>(prompt_ids.size()), weights.size(0)},
                    "stepped_weights: x");
  at::Tensor stepped = weights.clone();
  for (int64_t m = 0; m < weights.size(0); ++m) {
    if (m == learning.primary) continue;
    const double before = weights[m].item<double>();
    const double rho =
        within_prompt_correlation(x.select(1, m), x.select(1, learning.primary), prompt_ids);
    stepped[m] =
        std::clamp(before + learning.rate * rho - learning.decay * before, 0.0, learning.largest);
  }
  return stepped;
}

at::Tensor with_primary_filled(const at::Tensor& x,
                               const std::vector<int64_t>& prompt_ids,
                               int64_t primary) {
  data::check_shape(x, {static_cast<int64_t>(prompt_ids.size()), -1}, "with_primary_filled: x");
  at::Tensor filled = x.clone();
  at::Tensor column = filled.select(1, primary);  // [P], a view
  const at::Tensor of_all = mean_of_rated(column, at::scalar_tensor(0.0, x.options()));
  for (const auto& rows : rows_of_groups(prompt_ids)) {
    const at::Tensor at_rows = at::tensor(rows, at::kLong);
    const at::Tensor values = column.index_select(0, at_rows);
    column.index_copy_(0, at_rows,
                       at::where(values.isfinite(), values, mean_of_rated(values, of_all)));
  }
  return filled;
}

}  // namespace rewards
