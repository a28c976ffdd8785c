#include "rewards/judge_student/loss.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "rewards/judge_student/student.hpp"

namespace rewards {
namespace {
constexpr double kEps = 1e-8;
}

at::Tensor weighted_mean(const at::Tensor& values,
                         const at::Tensor& known,
                         const at::Tensor& weight) {
  const at::Tensor w = weight.unsqueeze(2) * known;  // [M, N, K]
  return (values * w).sum() / w.sum().clamp_min(kEps);
}

at::Tensor point_loss(const at::Tensor& logits,
                      const at::Tensor& bins,
                      const at::Tensor& known,
                      const at::Tensor& weight) {
  data::check_shape(logits, {weight.size(0), weight.size(1), -1, static_cast<int64_t>(kBins)},
                    "point_loss: logits");
  data::check_shape(bins, {logits.size(1), logits.size(2), static_cast<int64_t>(kBins)},
                    "point_loss: bins");
  const at::Tensor log_q = logits.log_softmax(-1);
  const at::Tensor entropy = -(bins * (bins + kEps).log()).sum(-1);
  const at::Tensor divergence = -(bins * log_q).sum(-1) - entropy;
  const at::Tensor v = bin_centres(bins);
  const at::Tensor error = (log_q.exp() * v).sum(-1) - (bins * v).sum(-1);
  const at::Tensor size = error.abs();
  const at::Tensor huber = at::where(size < 0.25, error.square() / 2, 0.25 * (size - 0.125));
  return weighted_mean(divergence + 0.1 * huber, known, weight);
}

at::Tensor pair_loss(const at::Tensor& mean_a,
                     const at::Tensor& mean_b,
                     const at::Tensor& gain,
                     const at::Tensor& preference,
                     const at::Tensor& known,
                     const at::Tensor& weight) {
  data::check_shape(mean_a, {weight.size(0), weight.size(1), gain.size(0)}, "pair_loss: mean_a");
  data::check_shape(mean_b, {weight.size(0), weight.size(1), gain.size(0)}, "pair_loss: mean_b");
  const at::Tensor z = gain * (mean_a - mean_b);
  return weighted_mean(preference * at::softplus(-z) + (1 - preference) * at::softplus(z), known,
                       weight);
}

at::Tensor fidelity_loss(const at::Tensor& p, const at::Tensor& other) {
  return 1 - (p * other + kEps).sqrt() - ((1 - p) * (1 - other) + kEps).sqrt();
}

}  // namespace rewards
