#include "data/profile/meta_kernels.hpp"

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <torch/library.h>

namespace data {
namespace {

using at::Tensor;

Tensor empty_like(bool wanted, const Tensor& x) { return wanted ? at::empty_like(x) : Tensor(); }

Tensor convolution(const Tensor& input,
                   const Tensor& weight,
                   const std::optional<Tensor>&,
                   c10::SymIntArrayRef stride,
                   c10::SymIntArrayRef padding,
                   c10::SymIntArrayRef dilation,
                   bool transposed,
                   c10::SymIntArrayRef,
                   c10::SymInt) {
  TORCH_CHECK(!transposed, "convolution on meta: transposed convolutions are not supported");
  TORCH_CHECK(input.is_meta() && weight.is_meta(), "convolution: input on ", input.device(),
              ", weight on ", weight.device());
  std::vector<int64_t> shape{input.size(0), weight.size(0)};
  for (int64_t k = 2; k < input.dim(); ++k) {
    const auto i = static_cast<size_t>(k - 2);
    const int64_t window = dilation[i].expect_int() * (weight.size(k) - 1) + 1;
    shape.push_back(
        (input.size(k) + 2 * padding[i].expect_int() - window) / stride[i].expect_int() + 1);
  }
  return at::empty(shape, input.options());
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& grad_output,
                                                        const Tensor& input,
                                                        const Tensor& weight,
                                                        c10::SymIntArrayRef,
                                                        c10::SymIntArrayRef,
                                                        c10::SymIntArrayRef,
                                                        bool,
                                                        c10::SymIntArrayRef,
                                                        c10::SymInt,
                                                        std::array<bool, 3> mask) {
  return {empty_like(mask[0], input), empty_like(mask[1], weight),
          mask[2] ? at::empty({grad_output.size(1)}, weight.options()) : Tensor()};
}

Tensor index_select(const Tensor& self, int64_t dim, const Tensor& index) {
  TORCH_CHECK(index.is_meta(), "index_select: self on meta, index on ", index.device());
  auto shape = self.sizes().vec();
  shape[static_cast<size_t>(at::maybe_wrap_dim(dim, self.dim()))] = index.numel();
  return at::empty(shape, self.options());
}

std::tuple<Tensor, Tensor, Tensor> group_norm(const Tensor& input,
                                              const std::optional<Tensor>&,
                                              const std::optional<Tensor>&,
                                              c10::SymInt count,
                                              c10::SymInt,
                                              c10::SymInt,
                                              int64_t groups,
                                              double) {
  const std::vector<int64_t> rows{count.expect_int(), groups};
  return {at::empty_like(input), at::empty(rows, input.options()),
          at::empty(rows, input.options())};
}

std::tuple<Tensor, Tensor, Tensor> group_norm_backward(const Tensor&,
                                                       const Tensor& input,
                                                       const Tensor&,
                                                       const Tensor&,
                                                       const std::optional<Tensor>& weight,
                                                       c10::SymInt,
                                                       c10::SymInt,
                                                       c10::SymInt,
                                                       int64_t,
                                                       std::array<bool, 3> mask) {
  return {empty_like(mask[0], input), empty_like(mask[1], *weight), empty_like(mask[2], *weight)};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm(const Tensor& input,
                                              c10::SymIntArrayRef normalized_shape,
                                              const std::optional<Tensor>&,
                                              const std::optional<Tensor>&,
                                              double) {
  auto rows = input.sizes().vec();
  for (size_t k = rows.size() - normalized_shape.size(); k < rows.size(); ++k) rows[k] = 1;
  return {at::empty_like(input), at::empty(rows, input.options()),
          at::empty(rows, input.options())};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(const Tensor&,
                                                       const Tensor& input,
                                                       c10::SymIntArrayRef,
                                                       const Tensor&,
                                                       const Tensor&,
                                                       const std::optional<Tensor>& weight,
                                                       const std::optional<Tensor>&,
                                                       std::array<bool, 3> mask) {
  return {empty_like(mask[0], input), empty_like(mask[1], *weight), empty_like(mask[2], *weight)};
}

std::tuple<Tensor, Tensor> attention(const Tensor& query,
                                     const Tensor&,
                                     const Tensor& value,
                                     double,
                                     bool,
                                     const std::optional<Tensor>&,
                                     std::optional<double>) {
  const int64_t batch = query.size(0), heads = query.size(1), length = query.size(2);
  const Tensor out = at::empty({batch, length, heads, value.size(3)}, query.options());
  return {out.transpose(1, 2), at::empty({batch, heads, length}, query.options())};
}

std::tuple<Tensor, Tensor, Tensor> attention_backward(const Tensor&,
                                                      const Tensor& query,
                                                      const Tensor& key,
                                                      const Tensor& value,
                                                      const Tensor&,
                                                      const Tensor&,
                                                      double,
                                                      bool,
                                                      const std::optional<Tensor>&,
                                                      std::optional<double>) {
  return {at::empty_like(query), at::empty_like(key), at::empty_like(value)};
}

Tensor where(const Tensor& condition, const Tensor& self, const Tensor& other) {
  const auto shape = at::infer_size(at::infer_size(condition.sizes(), self.sizes()), other.sizes());
  return at::empty(shape, self.options());
}

}  // namespace

void use_meta_kernels() {
  static const torch::Library registered = [] {
    torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::Meta, __FILE__,
                           __LINE__);
    library.impl("convolution_overrideable", convolution);
    library.impl("convolution_backward_overrideable", convolution_backward);
    library.impl("index_select", index_select);
    library.impl("native_group_norm", group_norm);
    library.impl("native_group_norm_backward", group_norm_backward);
    library.impl("native_layer_norm", layer_norm);
    library.impl("native_layer_norm_backward", layer_norm_backward);
    library.impl("_scaled_dot_product_flash_attention_for_cpu", attention);
    library.impl("_scaled_dot_product_flash_attention_for_cpu_backward", attention_backward);
    library.impl("where.self", where);
    return library;
  }();
}

}  // namespace data
