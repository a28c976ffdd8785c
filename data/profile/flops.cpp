#include "data/profile/flops.hpp"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string_view>

namespace data {
namespace {

std::atomic<int64_t> g_flops{0};

using OpInputs = c10::ArrayRef<const c10::IValue>;

// The number of products in each output element of a convolution. weight: [out, in / groups, ...]
int64_t reach(const at::Tensor& weight) { return weight.numel() / weight.size(0); }

// (input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
int64_t convolution(OpInputs in) {
  const at::Tensor input = in[0].toTensor(), weight = in[1].toTensor();
  const auto stride = in[3].toIntVector(), padding = in[4].toIntVector(),
             dilation = in[5].toIntVector();
  if (in[6].toBool()) return 2 * input.numel() * reach(weight);
  int64_t outputs = input.size(0) * weight.size(0);
  for (int64_t k = 0; k + 2 < input.dim(); ++k) {
    const auto at = [k](const std::vector<int64_t>& list) {
      return list[list.size() == 1 ? 0 : static_cast<size_t>(k)];
    };
    const int64_t window = at(dilation) * (weight.size(k + 2) - 1) + 1;
    outputs *= (input.size(k + 2) + 2 * at(padding) - window) / at(stride) + 1;
  }
  return 2 * outputs * reach(weight);
}

// (input, weight, bias, padding, stride, dilation, groups, ...), weights prepacked
int64_t packed_convolution(OpInputs in) {
  const at::Tensor input = in[0].toTensor(), weight = in[1].toTensor();
  const auto padding = in[3].toIntVector(), stride = in[4].toIntVector();
  int64_t outputs = input.size(0);
  for (size_t k = 0; k < 2; ++k) {
    const auto axis = static_cast<int64_t>(k) + 2;
    outputs *= (input.size(axis) + 2 * padding[k] - weight.size(axis)) / stride[k] + 1;
  }
  return 2 * outputs * weight.numel();
}

// (input, weight, ...), weights prepacked
int64_t packed_linear(OpInputs in) {
  return 2 * in[0].toTensor().numel() * in[1].toTensor().size(0);
}

// (input, weight), stride 1, padding that keeps the size: the products of a direct convolution
int64_t same_convolution(OpInputs in) {
  const at::Tensor input = in[0].toTensor(), weight = in[1].toTensor();
  return 2 * input.numel() / input.size(1) * weight.numel();
}

// (grad_output, input, weight, ..., output_mask): the gradients asked for of input and weight.
int64_t convolution_backward(OpInputs in) {
  const auto mask = in[in.size() - 1].toBoolList();
  const int64_t parts = static_cast<int64_t>(mask.get(0)) + static_cast<int64_t>(mask.get(1));
  return parts * 2 * in[0].toTensor().numel() * reach(in[2].toTensor());
}

// a: [..., M, K], b: [..., K, N], the inputs `first` and `first` + 1
int64_t product(OpInputs in, size_t first) {
  const at::Tensor a = in[first].toTensor(), b = in[first + 1].toTensor();
  return 2 * a.numel() * b.size(-1);
}

// query: [B, N, L, D], the input `first`, then key: [B, N, S, D]. `products` of L x S x D.
int64_t attention(OpInputs in, size_t first, int64_t products) {
  return products * 2 * in[first].toTensor().numel() * in[first + 1].toTensor().size(-2);
}

// The fused attention operations of each device; their gradients end in "_backward".
constexpr std::string_view kAttentions[] = {"aten::_scaled_dot_product_flash_attention_for_cpu",
                                            "aten::_scaled_dot_product_flash_attention",
                                            "aten::_scaled_dot_product_efficient_attention",
                                            "aten::_scaled_dot_product_cudnn_attention"};

bool is_backward_of(std::string_view attends, std::string_view name) {
  return name.starts_with(attends) && name.substr(attends.size()) == "_backward";
}

struct Counted {
  std::string_view name;
  int64_t (*flops)(OpInputs in);
};
constexpr Counted kCounted[] = {
    {"aten::convolution", convolution},
    {"aten::convolution_backward", convolution_backward},
    {"laurel::winograd_conv2d", same_convolution},
    {"mkldnn::_convolution_pointwise", packed_convolution},
    {"mkldnn::_linear_pointwise", packed_linear},
    {"aten::mm", [](OpInputs in) { return product(in, 0); }},
    {"aten::bmm", [](OpInputs in) { return product(in, 0); }},
    {"aten::addmm", [](OpInputs in) { return product(in, 1); }},
    {"aten::baddbmm", [](OpInputs in) { return product(in, 1); }},
};

int64_t flops_of(std::string_view name, OpInputs in) {
  for (const Counted& counted : kCounted) {
    if (name == counted.name) return counted.flops(in);
  }
  for (const std::string_view attends : kAttentions) {
    if (name == attends) return attention(in, 0, 2);
    // The scores are recomputed; each product has two gradients.
    if (is_backward_of(attends, name)) return attention(in, 1, 5);
  }
  return 0;
}

std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& call) {
  g_flops += flops_of(call.name(), call.inputs());
  return nullptr;
}

// RAII: operations are counted. An inner count, as of a stage of bench under LAUREL_PROFILE, counts
// no operation twice.
struct Counting {
  Counting() {
    if (depth++ > 0) return;
    handle = at::addGlobalCallback(
        at::RecordFunctionCallback(on_call).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~Counting() {
    if (--depth == 0) at::removeCallback(handle);
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  static inline int depth = 0;
  static inline at::CallbackHandle handle{};
};

}  // namespace

int64_t count_flops(const std::function<void()>& work) {
  const Counting counting;
  const int64_t before = g_flops;
  work();
  return g_flops - before;
}

bool is_product(std::string_view name) {
  return std::any_of(std::begin(kCounted), std::end(kCounted),
                     [&](const Counted& counted) { return name == counted.name; }) ||
         std::any_of(std::begin(kAttentions), std::end(kAttentions), [&](auto attends) {
           return name == attends || is_backward_of(attends, name);
         });
}

}  // namespace data
