#include "finetune/policy/epoch.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/splitmix.hpp"
#include "data/device/transfer.hpp"
#include "rewards/combine/statistics.hpp"

namespace finetune {

EpochPlan plan_epoch(const std::vector<std::string>& prompts,
                     const FinetuneConfig& config,
                     int64_t epoch,
                     at::Generator& generator) {
  EpochPlan plan;
  while (static_cast<int64_t>(plan.prompts.size()) < config.prompts_per_epoch) {
    const at::Tensor order = at::randperm(static_cast<int64_t>(prompts.size()), generator);
    const int64_t missing = config.prompts_per_epoch - static_cast<int64_t>(plan.prompts.size());
    for (int64_t i = 0; i < std::min(missing, order.size(0)); ++i) {
      plan.prompts.push_back(prompts[static_cast<size_t>(order[i].item<int64_t>())]);
    }
  }
  const uint64_t base = data::splitmix64(data::splitmix64(static_cast<uint64_t>(config.seed)) +
                                         static_cast<uint64_t>(epoch));
  for (int64_t i = 0; i < config.prompts_per_epoch * config.images_per_prompt; ++i) {
    const int64_t prompt = i / config.images_per_prompt;
    plan.draw.prompt_ids.push_back(prompt);
    plan.draw.seeds.push_back(data::splitmix64(base + static_cast<uint64_t>(i)) >> 1);
    if (config.share_noise)
      plan.draw.noise_seeds.push_back(data::splitmix64(~base + static_cast<uint64_t>(prompt)) >> 1);
  }
  return plan;
}

RowShard share_of(const ProcessGroup& ranks, const FinetuneConfig& config) {
  const int64_t images = config.prompts_per_epoch * config.images_per_prompt;
  if (images < ranks.count) {
    throw data::BadInput("prompts_per_epoch x images_per_prompt: expected at least an image for " +
                         std::string("each of ") + std::to_string(ranks.count) + " ranks, found " +
                         std::to_string(images) + "; raise them, or start fewer ranks");
  }
  return config.prompts_per_update == 0 ? contiguous_shard(ranks, images)
                                        : strided_shard(ranks, images);
}

EpochPlan part_of(const EpochPlan& plan, const RowShard& share) {
  EpochPlan part{plan.prompts, {}};
  for (const int64_t row : share.rows) {
    const auto i = static_cast<size_t>(row);
    part.draw.prompt_ids.push_back(plan.draw.prompt_ids[i]);
    part.draw.seeds.push_back(plan.draw.seeds[i]);
    if (!plan.draw.noise_seeds.empty()) part.draw.noise_seeds.push_back(plan.draw.noise_seeds[i]);
  }
  return part;
}

at::Tensor rate(const Task& task,
                const EpochPlan& plan,
                const Trajectories& trajectories,
                int64_t batch,
                const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const at::Tensor latents = final_latents(trajectories);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < latents.size(0); start += batch) {
    const int64_t count = std::min(batch, latents.size(0) - start);
    std::vector<std::string> prompts;
    for (int64_t i = start; i < start + count; ++i) {
      prompts.push_back(
          plan.prompts[static_cast<size_t>(trajectories.prompt_ids[static_cast<size_t>(i)])]);
    }
    const at::Tensor images =
        task.decode(data::to_device(latents.narrow(0, start, count), task.device));
    parts.push_back(score_images(task.rewards, images, prompts, ranks));
  }
  return at::cat(parts);
}

rewards::CombineOptions combine_options(const TrainingConfig& config) {
  rewards::CombineOptions options{
      .weights = config.reward_weights,
      .normaliser =
          &rewards::normaliser_by_name(config.normalise_rewards, rewards::Stage::kTraining),
      .aggregate = {.kind = &rewards::aggregate_by_name(config.aggregate),
                    .temperature = config.soft_min_temperature,
                    .k = config.aggregate_k},
      .constraint_rate = config.constraint_rate};
  if (!config.caps.empty()) options.caps = rewards::parse_caps(config.caps, config.reward_names);
  if (!config.constraints.empty())
    options.constraints = rewards::parse_constraints(config.constraints, config.reward_names);
  if (options.normaliser->reads_statistics)
    options.statistics =
        rewards::read_statistics(config.reward_statistics, config.reward_names).moments;
  return options;
}

Denoiser policy_on(const Task& task,
                   const diffusion::Network& unet,
                   const std::vector<std::string>& prompts,
                   double scale,
                   const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const diffusion::EditCondition edit = task.edit ? task.edit(prompts) : diffusion::EditCondition();
  const Denoiser policy = guided_policy(
      unet,
      {.text = diffusion::to_device(task.encode(prompts), task.device),
       .negative = diffusion::to_device(task.uncondition(), task.device),
       .time_ids = task.time_ids.defined() ? task.time_ids.to(task.device) : at::Tensor(),
       .image_latents = edit.image_latents,
       .reward = edit.reward},
      {.scale = scale, .image_scale = edit.image_scale});
  if (ranks.count == 1) return policy;
  return [policy, ranks](const at::Tensor& x, int64_t timestep,
                         const std::vector<int64_t>& prompt_ids) {
    heartbeat(ranks);
    return policy(x, timestep, prompt_ids);
  };
}

}  // namespace finetune
