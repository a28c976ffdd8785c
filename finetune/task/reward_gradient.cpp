#include "finetune/task/reward_gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "finetune/task/reward_combination.hpp"

namespace finetune {
namespace {

// The corner of a crop, the same for a whole batch.
struct CropCorner {
  int64_t top = 0, left = 0;
};

CropCorner draw_corner(const RewardGradientConfig& config,
                       const at::Tensor& latents,
                       at::Generator& generator) {
  if (config.reward_view != RewardView::kCrop) return {};
  const auto corner = [&](int64_t side) {
    return at::randint(side - side / 2 + 1, {1}, generator, at::kLong).item<int64_t>();
  };
  const int64_t top = corner(latents.size(2));
  return {top, corner(latents.size(3))};
}

// What the reward sees of latents. -> [B, C, h or h / 2, w or w / 2]
at::Tensor seen(RewardView view, const at::Tensor& latents, const CropCorner& corner) {
  if (view == RewardView::kWhole) return latents;
  const int64_t rows = latents.size(2) / 2, columns = latents.size(3) / 2;
  if (view == RewardView::kHalf) return at::adaptive_avg_pool2d(latents, {rows, columns});
  return latents.narrow(2, corner.top, rows).narrow(3, corner.left, columns);
}

// Gradient of -sum of R over the images, without what leads out of [0, 1]. image: [B, 3, H, W] as
// decoded
at::Tensor image_gradient(const TrainingTask& task,
                          const RewardGradientConfig& config,
                          const at::Tensor& image,
                          const std::vector<TrainingPrompt>& prompts,
                          RewardGradient& sums) {
  const at::Tensor leaf = image.detach().clamp(0, 1).requires_grad_(true);
  std::vector<at::Tensor> columns;
  const rewards::RewardBatch batch = reward_batch(leaf, prompts);
  for (const auto& [reward, weight] : task.rewards) columns.push_back(reward.score(batch));
  const at::Tensor raw = at::stack(columns, 1);
  const at::Tensor total = weighted_reward(raw, task.rewards, config).sum();
  (-total).backward();
  const at::Tensor gradient = leaf.grad();
  sums.raw = sums.raw.defined() ? at::cat({sums.raw, raw.detach().cpu().to(at::kDouble)})
                                : raw.detach().cpu().to(at::kDouble);
  sums.combined += total.item<double>();
  const at::Tensor values = image.detach(), above = values > 1, below = values < 0;
  sums.saturated +=
      (above | below).to(at::kFloat).mean().item<double>() * static_cast<double>(prompts.size());
  return gradient.masked_fill((above & (gradient < 0)) | (below & (gradient > 0)), 0);
}

}  // namespace

at::Tensor weighted_reward(const at::Tensor& raw,
                           const std::vector<rewards::WeightedReward>& trained,
                           const TrainingConfig& config) {
  refuse_auto_caps(config);
  const rewards::CombineOptions options = combine_options(trained, config);
  data::check_shape(raw, {-1, static_cast<int64_t>(options.weights.size())}, "weighted_reward");
  const at::Tensor within = options.caps.empty() ? raw : rewards::capped(raw, options.caps);
  return within.mv(at::tensor(options.weights, raw.options()));
}

RewardGradient reward_gradient(const TrainingTask& task,
                               const RewardGradientConfig& config,
                               const at::Tensor& latents,
                               const std::vector<TrainingPrompt>& prompts,
                               at::Generator& generator) {
  const int64_t count = latents.size(0);
  const CropCorner corner = draw_corner(config, latents, generator);
  RewardGradient result;
  std::vector<at::Tensor> gradients;
  for (int64_t start = 0; start < count; start += config.reward_chunk) {
    const int64_t rows = std::min(config.reward_chunk, count - start);
    const std::vector<TrainingPrompt> some(prompts.begin() + start, prompts.begin() + start + rows);
    const at::Tensor leaf = latents.detach().narrow(0, start, rows).clone().requires_grad_(true);
    const auto decoded = [&] {
      return decode_unclamped(task, seen(config.reward_view, leaf, corner));
    };
    at::Tensor image;
    if (config.two_pass) {
      const at::NoGradGuard no_gradient;
      image = decoded();
    } else {
      image = decoded();
    }
    const at::Tensor at_image = image_gradient(task, config, image, some, result);
    if (config.two_pass) image = decoded();
    image.backward(at_image);
    gradients.push_back(leaf.grad() / static_cast<double>(count));
  }
  result.gradient = at::cat(gradients);
  result.combined /= static_cast<double>(count);
  result.saturated /= static_cast<double>(count);
  return result;
}

void check_differentiable(const TrainingTask& task, const std::string& advice) {
  for (const auto& [reward, weight] : task.rewards) {
    if (reward.info.differentiable) continue;
    throw data::BadInput("reward: " + reward.info.name +
                         ": expected a differentiable reward, found one that is not; " + advice +
                         ", or choose another");
  }
}

}  // namespace finetune
