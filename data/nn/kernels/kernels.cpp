#include "data/nn/kernels/kernels.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>

namespace kernels {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

LaurelType type_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return kLaurelFloat;
    case at::kHalf:
      return kLaurelHalf;
    case at::kBFloat16:
      return kLaurelBFloat16;
    case at::kDouble:
      return kLaurelDouble;
    default:
      TORCH_CHECK(false, "kernels: no kernel for ", x.scalar_type());
  }
}

at::ScalarType wide(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// PyTorch's current stream of this thread.
void* stream_of(const Tensor& x) {
  if (!x.is_cuda()) return nullptr;  // the tests' kernels
  const c10::impl::VirtualGuardImpl device(x.device().type());
  return device.getStreamNativeHandle(device.getStream(x.device()));
}

void check(const char* problem) { TORCH_CHECK(!problem, "kernels: ", problem); }

void check_first_derivative() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "kernels: only first derivatives");
}

LaurelGroupNorm norm_of(const Tensor& x, int64_t groups, double eps, bool silu) {
  const int64_t channels = x.size(1), pixels = x.numel() / (x.size(0) * channels);
  TORCH_CHECK(channels % groups == 0 && channels / groups * pixels <= kLaurelChunk * 65535,
              "group_norm: ", channels, " channels of ", pixels, " pixels in ", groups, " groups");
  return {x.size(0), channels, pixels, groups, eps, silu};
}

struct GroupNorm : torch::autograd::Function<GroupNorm> {
  static Tensor forward(AutogradContext* context,
                        const Tensor& given,
                        const Tensor& given_weight,
                        const Tensor& given_bias,
                        const Library* library,
                        int64_t groups,
                        double eps,
                        bool silu) {
    const Tensor x = given.contiguous(), weight = given_weight.contiguous().to(wide(x)),
                 bias = given_bias.contiguous().to(wide(x));
    const LaurelGroupNorm norm = norm_of(x, groups, eps, silu);
    const Tensor y = at::empty_like(x),
                 moments =
                     at::empty({norm.batch * groups, laurel_chunks(norm), 3}, weight.options()),
                 statistics = at::empty({norm.batch * groups, 2}, weight.options());
    check(library->group_norm(type_of(x), norm, x.const_data_ptr(), weight.const_data_ptr(),
                              bias.const_data_ptr(), moments.mutable_data_ptr(),
                              statistics.mutable_data_ptr(), y.mutable_data_ptr(), stream_of(x)));
    context->save_for_backward({x, weight, bias, statistics});
    context->saved_data["library"] = reinterpret_cast<int64_t>(library);
    context->saved_data["groups"] = groups;
    context->saved_data["eps"] = eps;
    context->saved_data["silu"] = silu;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    check_first_derivative();
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &statistics = saved[3];
    auto& data = context->saved_data;
    const auto* library = reinterpret_cast<const Library*>(data["library"].toInt());
    const LaurelGroupNorm norm =
        norm_of(x, data["groups"].toInt(), data["eps"].toDouble(), data["silu"].toBool());
    const bool affine = context->needs_input_grad(1) || context->needs_input_grad(2);
    const Tensor grad_y = gradients[0].contiguous(), grad_x = at::empty_like(x),
                 sums = at::empty({norm.batch * norm.channels, 2}, weight.options()),
                 grad_affine = affine ? at::empty({2, norm.channels}, weight.options()) : Tensor();
    check(library->group_norm_backward(
        type_of(x), norm, grad_y.const_data_ptr(), x.const_data_ptr(), weight.const_data_ptr(),
        bias.const_data_ptr(), statistics.const_data_ptr(), sums.mutable_data_ptr(),
        grad_x.mutable_data_ptr(), affine ? grad_affine[0].mutable_data_ptr() : nullptr,
        affine ? grad_affine[1].mutable_data_ptr() : nullptr, stream_of(x)));
    const auto part = [&](int64_t i) { return affine ? grad_affine[i] : Tensor(); };
    return {grad_x, part(0), part(1), {}, {}, {}, {}};
  }
};

struct LayerNorm : torch::autograd::Function<LayerNorm> {
  static Tensor forward(AutogradContext* context,
                        const Tensor& given,
                        const Tensor& given_weight,
                        const Tensor& given_bias,
                        const Library* library,
                        double eps) {
    const Tensor x = given.contiguous(), weight = given_weight.contiguous().to(wide(x)),
                 bias = given_bias.contiguous().to(wide(x));
    const int64_t width = x.size(-1), rows = x.numel() / width;
    const Tensor y = at::empty_like(x), statistics = at::empty({rows, 2}, weight.options());
    check(library->layer_norm(type_of(x), rows, width, eps, x.const_data_ptr(),
                              weight.const_data_ptr(), bias.const_data_ptr(),
                              statistics.mutable_data_ptr(), y.mutable_data_ptr(), stream_of(x)));
    context->save_for_backward({x, weight, statistics});
    context->saved_data["library"] = reinterpret_cast<int64_t>(library);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    check_first_derivative();
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &statistics = saved[2];
    const auto* library = reinterpret_cast<const Library*>(context->saved_data["library"].toInt());
    const int64_t width = x.size(-1), rows = x.numel() / width;
    const bool affine = context->needs_input_grad(1) || context->needs_input_grad(2);
    const auto if_affine = [&](at::IntArrayRef shape) {
      return affine ? at::empty(shape, weight.options()) : Tensor();
    };
    const Tensor grad_y = gradients[0].contiguous(), grad_x = at::empty_like(x),
                 slabs = if_affine({kLaurelSlabs, width, 2}), grad_weight = if_affine({width}),
                 grad_bias = if_affine({width});
    const auto place = [](const Tensor& t) { return t.defined() ? t.mutable_data_ptr() : nullptr; };
    check(library->layer_norm_backward(
        type_of(x), rows, width, grad_y.const_data_ptr(), x.const_data_ptr(),
        weight.const_data_ptr(), statistics.const_data_ptr(), grad_x.mutable_data_ptr(),
        place(slabs), place(grad_weight), place(grad_bias), stream_of(x)));
    return {grad_x, grad_weight, grad_bias, {}, {}};
  }
};

struct Geglu : torch::autograd::Function<Geglu> {
  static Tensor forward(AutogradContext* context, const Tensor& given, const Library* library) {
    const Tensor both = given.contiguous();
    auto shape = both.sizes().vec();
    TORCH_CHECK(shape.back() % 2 == 0, "geglu: ", shape.back(),
                " columns: expected an even number");
    shape.back() /= 2;
    const Tensor y = at::empty(shape, both.options());
    check(library->geglu(type_of(both), y.numel() / shape.back(), shape.back(),
                         both.const_data_ptr(), y.mutable_data_ptr(), stream_of(both)));
    context->save_for_backward({both});
    context->saved_data["library"] = reinterpret_cast<int64_t>(library);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    check_first_derivative();
    const Tensor both = context->get_saved_variables()[0], grad_y = gradients[0].contiguous(),
                 grad_both = at::empty_like(both);
    const auto* library = reinterpret_cast<const Library*>(context->saved_data["library"].toInt());
    const int64_t width = grad_y.size(-1);
    check(library->geglu_backward(type_of(both), grad_y.numel() / width, width,
                                  grad_y.const_data_ptr(), both.const_data_ptr(),
                                  grad_both.mutable_data_ptr(), stream_of(both)));
    return {grad_both, {}};
  }
};

}  // namespace

Tensor group_norm(const Library& library,
                  const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  int64_t groups,
                  double eps,
                  bool silu) {
  return GroupNorm::apply(x, weight, bias, &library, groups, eps, silu);
}

Tensor layer_norm(
    const Library& library, const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return LayerNorm::apply(x, weight, bias, &library, eps);
}

Tensor geglu(const Library& library, const Tensor& both) { return Geglu::apply(both, &library); }

}  // namespace kernels
