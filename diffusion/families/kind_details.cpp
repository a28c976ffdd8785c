#include "diffusion/families/kind_details.hpp"

#include <ATen/core/Tensor.h>

namespace diffusion {

int64_t axis_size(const data::Weights& weights,
                  const std::string& start,
                  const std::string& end,
                  int64_t axis) {
  for (auto found = weights.tensors.lower_bound(start);
       found != weights.tensors.end() && found->first.starts_with(start); ++found) {
    if (found->first.ends_with(end) && found->second.dim() > axis) return found->second.size(axis);
  }
  return -1;
}

void add_detail(ModelKind& kind, const std::string& name, int64_t value) {
  if (value > 0) kind.details.push_back({name, std::to_string(value)});
}

}  // namespace diffusion
