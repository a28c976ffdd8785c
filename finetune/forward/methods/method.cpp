#include "finetune/forward/methods/method.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {

at::Tensor squared_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).to(at::kDouble).square().flatten(1).sum(1);
}

std::vector<std::vector<int64_t>> differing_groups(const RatedImages& images) {
  const auto count = static_cast<int64_t>(images.prompt_ids.size());
  data::check_shape(images.rewards, {count}, "RatedImages: rewards");
  TORCH_CHECK(static_cast<int64_t>(images.seeds.size()) == count, "RatedImages: ", count,
              " images, ", images.seeds.size(), " seeds");
  TORCH_CHECK(images.scale > 0, "RatedImages: scale must be > 0, got ", images.scale);
  std::vector<std::vector<int64_t>> groups;
  for (auto& members : rewards::prompt_groups(images.rewards, images.prompt_ids)) {
    if (members.size() < 2) continue;
    const at::Tensor group = images.rewards.index_select(0, at::tensor(members, at::kLong));
    if (group.max().item<double>() > group.min().item<double>())
      groups.push_back(std::move(members));
  }
  return groups;
}

ForwardLabels labels_by_group(const RatedImages& images,
                              const std::function<at::Tensor(const at::Tensor& group)>& value) {
  const at::Tensor rewards = images.rewards.to(at::kCPU, at::kDouble);
  ForwardLabels labels;
  std::vector<at::Tensor> values{at::zeros({0}, at::kDouble)};
  for (const auto& members : differing_groups(images)) {
    labels.rows.insert(labels.rows.end(), members.begin(), members.end());
    values.push_back(value(rewards.index_select(0, at::tensor(members, at::kLong))));
  }
  labels.values = at::cat(values);
  return labels;
}

}  // namespace finetune
