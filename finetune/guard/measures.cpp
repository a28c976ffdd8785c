#include "finetune/guard/measures.hpp"

#include <ATen/ATen.h>

namespace guard {

at::Tensor nearest_elsewhere(const at::Tensor& features, const std::vector<int64_t>& prompt_ids) {
  TORCH_CHECK(features.dim() == 2 && features.size(0) == static_cast<int64_t>(prompt_ids.size()),
              "nearest_elsewhere: expected [I, D] and I prompts, got ", features.sizes(), ", ",
              prompt_ids.size());
  const at::Tensor rows = features.to(at::kCPU, at::kFloat);
  const at::Tensor unit = rows / rows.norm(2, {1}, true).clamp_min(1e-12);
  const at::Tensor ids = at::tensor(prompt_ids, at::kLong);
  const at::Tensor same = ids.unsqueeze(0).eq(ids.unsqueeze(1));  // [I, I]
  const double far = std::numeric_limits<double>::infinity();
  const at::Tensor distance = (1 - unit.mm(unit.t())).masked_fill(same, far);
  const at::Tensor nearest = rows.size(0) == 0 ? rows.sum(1) : distance.amin(1);
  return nearest.to(at::kDouble).masked_fill(nearest.isinf(), Measures::kNone).clamp_min(0);
}

}  // namespace guard
