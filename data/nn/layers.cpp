#include "data/nn/layers.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <optional>

#include "data/nn/kernels/kernels.hpp"
#include "data/nn/prepacked.hpp"
#include "data/nn/winograd.hpp"

namespace nn {
namespace {

std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

at::Tensor uniform(at::IntArrayRef shape, int64_t fan_in, at::Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return at::empty(shape, at::kFloat).uniform_(-bound, bound, generator);
}

// In mixed precision the sum can have a wider dtype than the value.
bool may_overwrite(const at::Tensor& own, const at::Tensor& other) {
  return !at::GradMode::is_enabled() && own.scalar_type() == other.scalar_type();
}

at::Tensor product(const Linear& w, const at::Tensor& x) {
  return w.weight.is_mkldnn() ? prepacked_linear(x, w.weight, optional(w.bias))
                              : at::linear(x, w.weight, optional(w.bias));
}

at::Tensor convolution(const Conv2d& w, const at::Tensor& x, int64_t stride, int64_t pad) {
  if (w.weight.is_mkldnn()) return prepacked_conv2d(x, w.weight, optional(w.bias), stride, pad);
  return winograd_pays(x, w.weight, stride, pad)
             ? winograd_conv2d(x, w.weight, w.bias)
             : at::conv2d(x, w.weight, optional(w.bias), stride, pad);
}

void visit_both(at::Tensor& weight,
                at::Tensor& bias,
                const std::string& name,
                const data::TensorVisitor& visit) {
  visit(name + ".weight", weight);
  if (bias.defined()) visit(name + ".bias", bias);
}

}  // namespace

at::Tensor linear(const Linear& w, const at::Tensor& x) {
  const at::Tensor y = product(w, x);
  if (!w.lora.down.defined()) return y;
  return plus(y, at::linear(at::linear(x, w.lora.down), w.lora.up), w.lora.scale);
}

at::Tensor conv2d(const Conv2d& w, const at::Tensor& x, int64_t stride, int64_t pad) {
  const at::Tensor y = convolution(w, x, stride, pad);
  if (!w.lora.down.defined()) return y;
  return plus(y, at::conv2d(at::conv2d(x, w.lora.down, {}, stride, pad), w.lora.up), w.lora.scale);
}

at::Tensor layer_norm(const Norm& w, const at::Tensor& x, double eps) {
  if (const auto* library = kernels::library_for(x))
    return kernels::layer_norm(*library, x, w.weight, w.bias, eps);
  return at::layer_norm(x, {x.size(-1)}, w.weight, w.bias, eps);
}

at::Tensor group_norm(const Norm& w, const at::Tensor& x, int64_t groups, double eps) {
  if (const auto* library = kernels::library_for(x))
    return kernels::group_norm(*library, x, w.weight, w.bias, groups, eps, /*silu=*/false);
  return at::group_norm(x, groups, w.weight, w.bias, eps);
}

at::Tensor group_norm_silu(const Norm& w, const at::Tensor& x, int64_t groups, double eps) {
  if (const auto* library = kernels::library_for(x))
    return kernels::group_norm(*library, x, w.weight, w.bias, groups, eps, /*silu=*/true);
  at::Tensor y = at::group_norm(x, groups, w.weight, w.bias, eps);
  return at::GradMode::is_enabled() ? at::silu(y) : at::silu_(y);
}

at::Tensor plus(const at::Tensor& own, const at::Tensor& other, double scale) {
  return may_overwrite(own, other) ? own.add_(other, scale) : at::add(own, other, scale);
}

at::Tensor times(const at::Tensor& own, const at::Tensor& other) {
  return may_overwrite(own, other) ? own.mul_(other) : own * other;
}

at::Tensor attention(const at::Tensor& q,
                     const at::Tensor& k,
                     const at::Tensor& v,
                     int64_t heads,
                     const at::Tensor& mask) {
  const auto split = [heads](const at::Tensor& x) {  // [B, L, D] -> [B, heads, L, D / heads]
    return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
  };
  const at::Tensor out =
      q.is_meta()  // on meta, PyTorch would choose the attention that stores all scores
          ? std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
                split(q), split(k), split(v), 0.0, false, optional(mask)))
          : at::scaled_dot_product_attention(split(q), split(k), split(v), optional(mask));
  return out.transpose(1, 2).reshape({q.size(0), q.size(1), q.size(2)});
}

Linear take_linear(const data::Weights& weights, const std::string& name, int64_t out, int64_t in) {
  Linear w;
  w.weight = data::take(weights, name + ".weight", {out, in});
  if (data::has(weights, name + ".bias"))
    w.bias = data::take(weights, name + ".bias", {w.weight.size(0)});
  return w;
}

Conv2d take_conv2d(const data::Weights& weights,
                   const std::string& name,
                   int64_t out,
                   int64_t in,
                   int64_t kernel) {
  Conv2d w;
  w.weight = data::take(weights, name + ".weight", {out, in, kernel, kernel});
  if (data::has(weights, name + ".bias"))
    w.bias = data::take(weights, name + ".bias", {w.weight.size(0)});
  return w;
}

Norm take_norm(const data::Weights& weights, const std::string& name, int64_t channels) {
  return {data::take(weights, name + ".weight", {channels}),
          data::take(weights, name + ".bias", {channels})};
}

Linear make_linear(int64_t out, int64_t in, bool bias, at::Generator& generator) {
  Linear w;
  w.weight = uniform({out, in}, in, generator);
  if (bias) w.bias = uniform({out}, in, generator);
  return w;
}

Conv2d make_conv2d(int64_t out, int64_t in, int64_t kernel, at::Generator& generator) {
  const int64_t fan_in = in * kernel * kernel;
  return {
      uniform({out, in, kernel, kernel}, fan_in, generator), uniform({out}, fan_in, generator), {}};
}

Norm make_norm(int64_t channels) { return {at::ones({channels}), at::zeros({channels})}; }

void for_each_tensor(Linear& w, const std::string& name, const data::TensorVisitor& visit) {
  visit_both(w.weight, w.bias, name, visit);
}
void for_each_tensor(Conv2d& w, const std::string& name, const data::TensorVisitor& visit) {
  visit_both(w.weight, w.bias, name, visit);
}
void for_each_tensor(Norm& w, const std::string& name, const data::TensorVisitor& visit) {
  visit_both(w.weight, w.bias, name, visit);
}

}  // namespace nn
