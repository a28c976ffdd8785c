#include "rewards/combine/within_prompt.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "rewards/combine/prompt_groups.hpp"

namespace rewards {

void add(PromptMoments& sums, const PromptMoments& one) {
  sums.xy += one.xy;
  sums.xx += one.xx;
  sums.yy += one.yy;
}

std::vector<PromptMoments> within_prompt_moments(const at::Tensor& x,
                                                 const at::Tensor& y,
                                                 const std::vector<int64_t>& prompt_ids) {
  TORCH_CHECK(x.dim() == 1 && x.sizes() == y.sizes() &&
                  x.size(0) == static_cast<int64_t>(prompt_ids.size()),
              "within_prompt_moments: expected two [P] and P prompts, got ", x.sizes(), ", ",
              y.sizes(), ", ", prompt_ids.size());
  const at::Tensor both = at::stack({x, y}, 1).to(at::kCPU, at::kDouble);  // [P, 2]
  const at::Tensor sums = both.sum(1);                                     // finite where both are
  std::vector<PromptMoments> prompts;
  for (const auto& rows : prompt_groups(sums, prompt_ids)) {
    if (rows.size() < 2) continue;
    const at::Tensor group = both.index_select(0, at::tensor(rows, at::kLong));
    const at::Tensor centred = group - group.mean(0, /*keepdim=*/true);
    const at::Tensor products = centred.t().mm(centred);  // [2, 2]
    prompts.push_back({products[0][1].item<double>(), products[0][0].item<double>(),
                       products[1][1].item<double>()});
  }
  return prompts;
}

double correlation_of(const PromptMoments& sums) {
  const double scale = std::sqrt(sums.xx * sums.yy);
  return scale > 0 ? sums.xy / scale : 0;
}

double within_prompt_correlation(const at::Tensor& x,
                                 const at::Tensor& y,
                                 const std::vector<int64_t>& prompt_ids) {
  PromptMoments sums;
  for (const auto& one : within_prompt_moments(x, y, prompt_ids)) add(sums, one);
  return correlation_of(sums);
}

}  // namespace rewards
