#include "rewards/combine/running_moments.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

constexpr double kConstant = 1e-12;  // a column whose deviation is below it never varied

at::Tensor deviation(const RunningMoments& moments) {
  return (moments.squares / std::max(moments.count, 1.0)).sqrt();
}

}  // namespace

void update(RunningMoments& moments, const at::Tensor& x) {
  const at::Tensor whole = x.isfinite().all(1);
  const at::Tensor rows = x.to(at::kDouble).index_select(0, whole.nonzero().squeeze(1));  // [n, M]
  const double n = static_cast<double>(rows.size(0));
  if (n == 0) return;
  const at::Tensor mean = rows.mean(0), squares = (rows - mean).square().sum(0);  // [M]
  if (moments.count == 0) {
    moments = {n, mean, squares};
    return;
  }
  const double all = moments.count + n;
  const at::Tensor delta = mean - moments.mean;
  moments.squares = moments.squares + squares + delta.square() * (moments.count * n / all);
  moments.mean = moments.mean + delta * (n / all);
  moments.count = all;
}

at::Tensor standardised(const RunningMoments& moments, const at::Tensor& x) {
  TORCH_CHECK(moments.count > 0, "standardised: nothing was measured yet");
  data::check_shape(x, {-1, moments.mean.size(0)}, "standardised: x");
  const at::Tensor spread = deviation(moments);  // [M]
  const at::Tensor centred = x.to(at::kDouble) - moments.mean;
  return at::where(spread > kConstant, centred / spread.clamp_min(kConstant), centred * 0);
}

}  // namespace rewards
