#include "data/weights.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "data/error.hpp"
#include "data/mapped_file.hpp"
#include "data/shape.hpp"

namespace data {

bool has(const Weights& weights, const std::string& name) {
  return weights.tensors.count(name) > 0;
}

bool has_prefix(const Weights& weights, const std::string& prefix) {
  const auto found = weights.tensors.lower_bound(prefix);
  return found != weights.tensors.end() && found->first.starts_with(prefix);
}

int64_t count_numbered(const Weights& weights, const std::string& prefix) {
  int64_t count = 0;
  for (auto found = weights.tensors.lower_bound(prefix);
       found != weights.tensors.end() && found->first.starts_with(prefix); ++found) {
    int64_t number = 0;
    const char* const first = found->first.data() + prefix.size();
    const char* const end = found->first.data() + found->first.size();
    if (std::from_chars(first, end, number).ec == std::errc()) count = std::max(count, number + 1);
  }
  return count;
}

bool all_finite(const at::Tensor& tensor) {
  constexpr int64_t kPiece = 1 << 18;  // elements at a time: the temporaries stay small
  if (!tensor.is_floating_point()) return true;
  const at::Tensor flat = tensor.reshape({-1});
  for (int64_t begin = 0; begin < flat.size(0); begin += kPiece) {
    const at::Tensor piece = flat.slice(0, begin, begin + kPiece).to(at::kFloat);
    if (!piece.isfinite().all().item<bool>()) return false;
  }
  return true;
}

at::Tensor take(const Weights& weights,
                const std::string& name,
                std::initializer_list<int64_t> shape) {
  const at::IntArrayRef expected(shape.begin(), shape.size());
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
  const bool fits = static_cast<size_t>(tensor.dim()) == expected.size() &&
                    std::equal(expected.begin(), expected.end(), tensor.sizes().begin(),
                               [](int64_t want, int64_t got) { return want < 0 || want == got; });
  if (!fits) {
    throw BadInput(weights.source + ": tensor " + name + ": expected shape " +
                   shape_text(expected) + ", found " + shape_text(tensor.sizes()) +
                   "; the config and the weights do not belong together");
  }
  if (!tensor.is_floating_point()) {
    throw BadInput(weights.source + ": tensor " + name +
                   ": expected a floating-point type, found " +
                   std::string(toString(tensor.scalar_type())));
  }
  if (!all_finite(tensor)) {
    throw BadInput(weights.source + ": tensor " + name +
                   " holds NaN or infinite values; the file is damaged or its " +
                   "training diverged, use an earlier checkpoint");
  }
  const at::Tensor value = tensor.to(at::kFloat);
  if (!value.is_same(tensor)) drop_pages(tensor);
  return value;
}

}  // namespace data
