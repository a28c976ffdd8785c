#include "rewards/combine/measures.hpp"

#include <ATen/ATen.h>

#include <set>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"

namespace rewards {
namespace {

int64_t width_of(const Reward& reward) { return reward.group ? reward.group->width : 1; }

}  // namespace

int64_t measure_width(const std::vector<WeightedReward>& rewards) {
  int64_t width = 0;
  for (const auto& part : rewards) width += width_of(part.reward);
  return width;
}

at::Tensor measure(const std::vector<WeightedReward>& rewards, const RewardBatch& batch) {
  const int64_t images = batch.images.size(0);
  std::vector<at::Tensor> columns;
  for (const auto& [reward, weight] : rewards) {
    const at::Tensor own = reward.group ? reward.group->features(batch) : reward.score(batch);
    if (reward.group)
      data::check_shape(own, {images, reward.group->width}, reward.info.name.c_str());
    else
      data::check_shape(own, {images}, reward.info.name.c_str());
    columns.push_back(own.to(at::kCPU, at::kDouble).reshape({images, width_of(reward)}));
  }
  return columns.empty() ? at::zeros({images, 0}, at::kDouble) : at::cat(columns, 1);
}

at::Tensor scores_of(const std::vector<WeightedReward>& rewards,
                     const at::Tensor& measures,
                     const std::vector<int64_t>& prompt_ids) {
  data::check_shape(measures, {-1, measure_width(rewards)}, "scores_of: measures");
  std::vector<at::Tensor> columns;
  int64_t start = 0;
  for (const auto& [reward, weight] : rewards) {
    const int64_t width = width_of(reward);
    const at::Tensor own = measures.narrow(1, start, width);
    start += width;
    if (!reward.group) {
      columns.push_back(own.squeeze(1));
      continue;
    }
    columns.push_back(reward.group->score(own, prompt_ids));
  }
  return columns.empty() ? at::zeros({measures.size(0), 0}, at::kDouble) : at::stack(columns, 1);
}

void check_groups(const std::vector<WeightedReward>& rewards,
                  const std::vector<int64_t>& prompt_ids) {
  const std::set<int64_t> prompts(prompt_ids.begin(), prompt_ids.end());
  if (prompts.size() < prompt_ids.size()) return;
  for (const auto& [reward, weight] : rewards) {
    if (!reward.info.compares_images) continue;
    throw data::BadInput("reward " + reward.info.name +
                         ": expected two images of a prompt or more, which it compares, found one "
                         "of each; give more images of a prompt, or leave the reward out");
  }
}

}  // namespace rewards
