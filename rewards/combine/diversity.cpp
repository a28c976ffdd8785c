#include "rewards/combine/diversity.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace rewards {
namespace {

constexpr double kSmallestNorm = 1e-12;

// features: [n, D], n > 1 -> [n]
at::Tensor apart(const at::Tensor& features) {
  const auto n = static_cast<double>(features.size(0));
  const at::Tensor unit = features / features.norm(2, {1}, true).clamp_min(kSmallestNorm),
                   cosines = unit.mm(unit.t());
  // The same bits both ways: two images of a prompt are equally far from each other.
  at::Tensor of_pairs = (cosines + cosines.t()) / 2;
  return 1 - of_pairs.fill_diagonal_(0).sum(1) / (n - 1);
}

}  // namespace

at::Tensor image_diversity(const at::Tensor& features, const std::vector<int64_t>& prompt_ids) {
  data::check_shape(features, {static_cast<int64_t>(prompt_ids.size()), -1},
                    "image_diversity: features");
  const at::Tensor all = features.to(at::kCPU, at::kDouble);
  at::Tensor result = at::zeros({all.size(0)}, at::kDouble);
  for (const auto& members : rows_of_groups(prompt_ids)) {
    if (members.size() < 2) continue;
    const at::Tensor rows = at::tensor(members, at::kLong);
    result.index_copy_(0, rows, apart(all.index_select(0, rows)));
  }
  return result;
}

double mean_diversity(const at::Tensor& features, const std::vector<int64_t>& prompt_ids) {
  const at::Tensor of_images = image_diversity(features, prompt_ids);
  double sum = 0, prompts = 0;
  for (const auto& members : rows_of_groups(prompt_ids)) {
    if (members.size() < 2) continue;
    sum += of_images.index_select(0, at::tensor(members, at::kLong)).mean().item<double>();
    ++prompts;
  }
  return prompts == 0 ? 0.0 : sum / prompts;
}

}  // namespace rewards
