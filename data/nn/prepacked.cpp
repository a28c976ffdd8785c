#include "data/nn/prepacked.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <optional>
#include <string_view>
#include <vector>

namespace nn {
namespace {

constexpr int64_t kLeastWidth = 320;  // more than embedded models have, which keep their bits

using Scalars = c10::List<std::optional<at::Scalar>>;
using Word = std::optional<std::string_view>;
using OptionalTensor = std::optional<at::Tensor>;

// An operation that libtorch registers without a function of its own.
template <class Signature>
c10::TypedOperatorHandle<Signature> operation(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

bool multiplies_bf16() {
  static const bool able =
      at::hasMKLDNN() && operation<bool()>("mkldnn::_is_mkldnn_bf16_supported").call();
  return able;
}

bool wants_gradient(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

void check(const at::Tensor& weight) {
  TORCH_CHECK(
      prepacking_pays(weight),
      "prepacked weight: expected a wide plain weight on the CPU without a gradient, found ",
      weight.toString(), " of ", weight.sizes());
}

}  // namespace

bool is_wide(at::IntArrayRef shape) {
  return (shape.size() == 2 || shape.size() == 4) && shape[0] >= kLeastWidth &&
         shape[1] >= kLeastWidth;
}

bool prepacking_pays(const at::Tensor& weight) {
  return at::hasMKLDNN() && weight.is_cpu() && weight.layout() == at::kStrided &&
         !weight.requires_grad() && is_wide(weight.sizes()) &&
         (weight.scalar_type() == at::kFloat ||
          (weight.scalar_type() == at::kBFloat16 && multiplies_bf16()));
}

at::Tensor prepacked_linear_weight(const at::Tensor& weight, int64_t rows) {
  check(weight);
  static const auto reorder = operation<at::Tensor(const at::Tensor&, std::optional<int64_t>)>(
      "mkldnn::_reorder_linear_weight");
  return reorder.call(weight, rows);
}

at::Tensor prepacked_conv2d_weight(const at::Tensor& weight,
                                   at::IntArrayRef x,
                                   int64_t stride,
                                   int64_t pad) {
  check(weight);
  static const auto reorder =
      operation<at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef,
                           int64_t, at::OptionalIntArrayRef)>(
          "mkldnn::_reorder_convolution_weight");
  const std::vector<int64_t> pads{pad, pad}, strides{stride, stride}, dilation{1, 1};
  return reorder.call(weight, pads, strides, dilation, 1, x);
}

at::Tensor prepacked_linear(const at::Tensor& x,
                            const at::Tensor& weight,
                            const OptionalTensor& bias) {
  if (wants_gradient(x)) return at::linear(x, weight.to_dense(), bias);
  static const auto multiply =
      operation<at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                           std::string_view, Scalars, Word)>("mkldnn::_linear_pointwise");
  return multiply.call(x.to(weight.scalar_type()), weight, bias, "none", Scalars(), std::nullopt);
}

at::Tensor prepacked_conv2d(const at::Tensor& x,
                            const at::Tensor& weight,
                            const OptionalTensor& bias,
                            int64_t stride,
                            int64_t pad) {
  if (wants_gradient(x)) return at::conv2d(x, weight.to_dense(), bias, stride, pad);
  static const auto convolve = operation<at::Tensor(
      const at::Tensor&, const at::Tensor&, const OptionalTensor&, at::IntArrayRef, at::IntArrayRef,
      at::IntArrayRef, int64_t, std::string_view, Scalars, Word)>("mkldnn::_convolution_pointwise");
  const std::vector<int64_t> pads{pad, pad}, strides{stride, stride}, dilation{1, 1};
  return convolve.call(x.to(weight.scalar_type()), weight, bias, pads, strides, dilation, 1, "none",
                       Scalars(), std::nullopt);
}

}  // namespace nn
