#include "data/flops.hpp"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <string_view>

namespace data {
namespace {

thread_local double counted = 0;

double product(at::IntArrayRef sizes) {
  double result = 1;
  for (const int64_t size : sizes) result *= static_cast<double>(size);
  return result;
}

// a: [..., m, k], b: [..., k, n]
double matrix_product(const at::Tensor& a, const at::Tensor& b) {
  return 2 * product(a.sizes()) * static_cast<double>(b.size(-1));
}

// weight: [out, in / groups, k, k]; each output value costs a filter.
double convolution(double outputs, const at::Tensor& weight) {
  return 2 * outputs * product(weight.sizes().slice(1));
}

double convolution_outputs(c10::ArrayRef<const c10::IValue> inputs) {
  const at::Tensor x = inputs[0].toTensor(), weight = inputs[1].toTensor();
  const auto stride = inputs[3].toIntVector(), padding = inputs[4].toIntVector(),
             dilation = inputs[5].toIntVector();
  double outputs = static_cast<double>(x.size(0) * weight.size(0));
  for (int64_t i = 2; i < x.dim(); ++i) {
    const auto axis = static_cast<size_t>(i - 2) % stride.size();
    const int64_t reach = dilation[axis % dilation.size()] * (weight.size(i) - 1) + 1;
    outputs *= static_cast<double>(
        (x.size(i) + 2 * padding[axis % padding.size()] - reach) / stride[axis] + 1);
  }
  return outputs;
}

// q: [B, N, Lq, D], k: [B, N, Lk, D]: scores and their product with the values.
double attention(const at::Tensor& q, const at::Tensor& k) {
  return 4 * product(q.sizes()) * static_cast<double>(k.size(-2));
}

double flops_of(std::string_view name, c10::ArrayRef<const c10::IValue> in) {
  if (name == "aten::mm" || name == "aten::bmm")
    return matrix_product(in[0].toTensor(), in[1].toTensor());
  if (name == "aten::addmm" || name == "aten::baddbmm")
    return matrix_product(in[1].toTensor(), in[2].toTensor());
  if (name == "aten::convolution") return convolution(convolution_outputs(in), in[1].toTensor());
  if (name == "aten::convolution_backward") {
    const auto wanted = in[10].toBoolList();
    return convolution(product(in[0].toTensor().sizes()), in[2].toTensor()) *
           ((wanted[0] ? 1 : 0) + (wanted[1] ? 1 : 0));
  }
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu")
    return attention(in[0].toTensor(), in[1].toTensor());
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu_backward") {
    return 2.5 *
           attention(in[1].toTensor(), in[2].toTensor());  // the scores again, and four products
  }
  return 0;
}

std::unique_ptr<at::ObserverContext> on_operator(const at::RecordFunction& call) {
  counted += flops_of(call.name(), call.inputs());
  return nullptr;
}

}  // namespace

double count_flops(const std::function<void()>& work) {
  counted = 0;
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(on_operator)
                                                     .needsInputs(true)
                                                     .scopes({at::RecordScope::FUNCTION}));
  try {
    work();
  } catch (...) {
    at::removeCallback(handle);
    throw;
  }
  at::removeCallback(handle);
  return counted;
}

}  // namespace data
