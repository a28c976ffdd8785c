#include "data/weights.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "data/error.hpp"
#include "data/shape.hpp"

namespace data {

bool has(const Weights& weights, const std::string& name) {
  return weights.tensors.count(name) > 0;
}

bool has_prefix(const Weights& weights, const std::string& prefix) {
  const auto found = weights.tensors.lower_bound(prefix);
  return found != weights.tensors.end() && found->first.starts_with(prefix);
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
  const at::Tensor value = tensor.to(at::kFloat);
  if (!value.isfinite().all().item<bool>()) {
    throw BadInput(weights.source + ": tensor " + name +
                   " holds NaN or infinite values; the file is damaged or its " +
                   "training diverged, use an earlier checkpoint");
  }
  return value;
}

}  // namespace data
