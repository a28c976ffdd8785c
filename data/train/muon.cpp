#include "data/train/muon.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace train {
namespace {

void step_matrix(const Param& param, at::Tensor& momentum, const MuonOptions& options, double lr) {
  const at::Tensor grad = param.value.grad().detach();
  momentum.lerp_(grad, 1.0 - options.momentum);
  const at::Tensor direction = orthogonalized(grad.lerp(momentum, options.momentum).flatten(1));
  const double scale =
      0.2 * std::sqrt(static_cast<double>(std::max(direction.size(0), direction.size(1))));
  const at::Tensor value = param.value.detach();
  value.mul_(1.0 - lr * options.weight_decay).sub_(direction.view(value.sizes()), lr * scale);
}

}  // namespace

at::Tensor orthogonalized(const at::Tensor& m) {
  TORCH_CHECK(m.dim() == 2, "orthogonalized: expected a matrix, got ", m.dim(), " axes");
  const bool tall = m.size(0) > m.size(1);
  at::Tensor x = tall ? m.t() : m;  // [R, C], R <= C
  x = x / (at::norm(x) + 1e-7);
  for (int i = 0; i < 5;
       ++i) {  // the quintic of Jordan et al.: maps singular values into [0.7, 1.2]
    const at::Tensor a = at::mm(x, x.t());
    x = 3.4445 * x + at::mm(-4.7750 * a + 2.0315 * at::mm(a, a), x);
  }
  return tall ? x.t().contiguous() : x;
}

void muon_step(const Params& params, AdamWState& state, const MuonOptions& options, double lr) {
  TORCH_CHECK(state.exp_avg.size() == params.size(), "muon_step: the state has ",
              state.exp_avg.size(), " parameters, got ", params.size());
  Params vectors;
  AdamWState part;
  part.step = state.step;
  for (size_t i = 0; i < params.size(); ++i) {
    if (!params[i].value.grad().defined()) continue;
    if (params[i].value.dim() >= 2) {
      step_matrix(params[i], state.exp_avg[i], options, lr);
    } else {
      vectors.push_back(params[i]);
      part.exp_avg.push_back(state.exp_avg[i]);
      part.exp_avg_sq.push_back(state.exp_avg_sq[i]);
    }
  }
  adamw_step(vectors, part, options.adamw, lr);
}

}  // namespace train
