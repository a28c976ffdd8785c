#include "data/weights/tensor_map.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shape.hpp"
#include "data/storage/mapped_file.hpp"

namespace data {
namespace {

// No value has the exponent of NaN and infinity. In one pass, without a temporary of the size.
template <class Word>
bool no_full_exponent(const at::Tensor& tensor, Word exponent) {
  const auto* words = static_cast<const Word*>(tensor.const_data_ptr());
  bool full = false;
  for (int64_t i = 0; i < tensor.numel(); ++i) full |= (words[i] & exponent) == exponent;
  return !full;
}

}  // namespace

bool has(const Weights& weights, const std::string& name) {
  return weights.tensors.count(name) > 0;
}

bool has_prefix(const Weights& weights, const std::string& prefix) {
  const auto found = weights.tensors.lower_bound(prefix);
  return found != weights.tensors.end() && found->first.starts_with(prefix);
}

int64_t count_numbered(const Weights& weights, const std::string& prefix) {
  constexpr int64_t kMost = 10'000;  // a larger number in a name is no layer's
  int64_t count = 0;
  for (auto found = weights.tensors.lower_bound(prefix);
       found != weights.tensors.end() && found->first.starts_with(prefix); ++found) {
    const auto number =
        leading_number<int64_t>(std::string_view(found->first).substr(prefix.size()));
    if (number && *number < kMost) count = std::max(count, *number + 1);
  }
  return count;
}

bool all_finite(const at::Tensor& tensor) {
  if (!tensor.is_floating_point()) return true;
  const at::Tensor plain = tensor.to(at::kCPU).contiguous();
  switch (plain.scalar_type()) {
    case at::kFloat:
      return no_full_exponent<uint32_t>(plain, 0x7f800000);
    case at::kHalf:
      return no_full_exponent<uint16_t>(plain, 0x7c00);
    case at::kBFloat16:
      return no_full_exponent<uint16_t>(plain, 0x7f80);
    case at::kDouble:
      return no_full_exponent<uint64_t>(plain, 0x7ff0000000000000);
    default:
      return all_finite(plain.to(at::kFloat));
  }
}

const at::Tensor& stored(const Weights& weights,
                         const std::string& name,
                         at::IntArrayRef expected) {
  const auto found = weights.tensors.find(name);
  if (found == weights.tensors.end()) {
    std::vector<std::string> names;
    for (const auto& [known, tensor] : weights.tensors) names.push_back(known);
    const std::string near = nearest(name, names);
    throw BadInput(weights.source + ": tensor " + name + " " + shape_text(expected) +
                   " is missing" + (near.empty() ? "" : " (the nearest name is " + near + ")") +
                   "; is this a checkpoint of the kind that was asked for?");
  }
  const at::Tensor& tensor = found->second;
  if (!tensor.is_floating_point()) {
    throw BadInput(weights.source + ": tensor " + name +
                   ": expected a floating-point type, found " +
                   std::string(toString(tensor.scalar_type())));
  }
  const bool fits = static_cast<size_t>(tensor.dim()) == expected.size() &&
                    std::equal(expected.begin(), expected.end(), tensor.sizes().begin(),
                               [](int64_t want, int64_t got) { return want < 0 || want == got; });
  if (!fits) {
    throw BadInput(weights.source + ": tensor " + name + ": expected shape " +
                   shape_text(expected) + ", found " + shape_text(tensor.sizes()) +
                   "; the config and the weights do not belong together");
  }
  return tensor;
}

at::Tensor take_sized(const Weights& weights, const std::string& name, at::IntArrayRef shape) {
  const at::Tensor& tensor = stored(weights, name, shape);
  if (!all_finite(tensor)) {
    throw BadInput(weights.source + ": tensor " + name +
                   " holds NaN or infinite values; the file is damaged or its " +
                   "training diverged, use an earlier checkpoint");
  }
  const at::Tensor value = tensor.to(at::kFloat);
  if (!value.is_same(tensor)) drop_pages(tensor);
  return value;
}

at::Tensor take(const Weights& weights,
                const std::string& name,
                std::initializer_list<int64_t> shape) {
  return take_sized(weights, name, {shape.begin(), shape.size()});
}

}  // namespace data
