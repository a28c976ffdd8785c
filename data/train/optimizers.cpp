#include "data/train/optimizers.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace train {

void zero_grad(const Params& params) {
  for (const auto& param : params) param.value.mutable_grad() = at::Tensor();
}

double grad_norm(const Params& params) {
  std::vector<at::Tensor> norms;
  for (const auto& param : params) {
    if (param.value.grad().defined()) norms.push_back(at::norm(param.value.grad().detach()));
  }
  if (norms.empty()) return 0;
  return at::stack(norms).to(at::kDouble).square().sum().sqrt().item<double>();
}

double clip_grad_norm(const Params& params, double max_norm) {
  TORCH_CHECK(max_norm > 0, "clip_grad_norm: max_norm must be > 0, got ", max_norm);
  const double norm = grad_norm(params);
  if (norm > max_norm) {
    for (const auto& param : params) {
      if (param.value.grad().defined()) param.value.mutable_grad().detach().mul_(max_norm / norm);
    }
  }
  return norm;
}

AdamWState make_adamw(const Params& params) {
  AdamWState state;
  state.step = at::zeros({}, at::kFloat);
  for (const auto& param : params) {
    state.exp_avg.push_back(at::zeros_like(param.value.detach()));
    state.exp_avg_sq.push_back(at::zeros_like(param.value.detach()));
  }
  return state;
}

void adamw_step(const Params& params, AdamWState& state, const AdamWOptions& options, double lr) {
  TORCH_CHECK(state.exp_avg.size() == params.size(), "adamw_step: the state has ",
              state.exp_avg.size(), " parameters, got ", params.size());
  std::vector<at::Tensor> values, grads, exp_avg, exp_avg_sq, steps;
  for (size_t i = 0; i < params.size(); ++i) {
    const at::Tensor& grad = params[i].value.grad();
    if (!grad.defined()) continue;
    values.push_back(params[i].value.detach());
    grads.push_back(grad.detach());
    exp_avg.push_back(state.exp_avg[i]);
    exp_avg_sq.push_back(state.exp_avg_sq[i]);
    steps.push_back(state.step + 1);
  }
  state.step.add_(1);
  if (values.empty()) return;
  at::_fused_adamw_(values, grads, exp_avg, exp_avg_sq, {}, steps, lr, options.beta1, options.beta2,
                    options.weight_decay, options.eps, /*amsgrad=*/false, /*maximize=*/false);
}

Ema make_ema(const Params& params, double decay) {
  Ema ema{.decay = decay, .shadow = {}};
  if (decay > 0) {
    for (const auto& param : params) ema.shadow.push_back(param.value.detach().clone());
  }
  return ema;
}

void update_ema(Ema& ema, const Params& params) {
  if (ema.shadow.empty()) return;
  const double n = static_cast<double>(++ema.updates);
  const double decay = ema.ramp ? std::min(ema.decay, (1.0 + n) / (10.0 + n)) : ema.decay;
  std::vector<at::Tensor> values;
  for (const auto& param : params) values.push_back(param.value.detach());
  at::_foreach_lerp_(ema.shadow, values, 1.0 - decay);  // few kernel launches on a GPU
}

void swap_ema(Ema& ema, const Params& params) {
  for (size_t i = 0; i < ema.shadow.size(); ++i) {
    const at::Tensor value = params[i].value.detach();
    const at::Tensor kept = value.clone();
    value.copy_(ema.shadow[i]);
    ema.shadow[i].copy_(kept);
  }
}

}  // namespace train
