#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <functional>

// Largest difference between the gradient of `f` (a scalar) at `x` (double) by backward() and by
// central differences, relative to the gradient's largest entry.
inline double gradient_error(const std::function<at::Tensor(const at::Tensor&)>& f,
                             const at::Tensor& x) {
  auto leaf = x.detach().clone().requires_grad_(true);
  f(leaf).backward();
  const at::NoGradGuard no_grad;
  auto point = x.detach().clone().contiguous();
  auto differences = at::empty_like(point);
  const double h = 1e-5;
  for (int64_t i = 0; i < point.numel(); ++i) {
    auto entry = point.view(-1)[i];
    const double value = entry.item<double>();
    entry.fill_(value + h);
    const double above = f(point).item<double>();
    entry.fill_(value - h);
    const double below = f(point).item<double>();
    entry.fill_(value);
    differences.view(-1)[i].fill_((above - below) / (2 * h));
  }
  return ((leaf.grad() - differences).abs().max() / differences.abs().max()).item<double>();
}
