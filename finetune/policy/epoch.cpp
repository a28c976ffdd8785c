#include "finetune/policy/epoch.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/splitmix.hpp"
#include "data/device/transfer.hpp"
#include "rewards/combine/measures.hpp"

namespace finetune {

EpochPlan plan_epoch(const std::vector<TrainingPrompt>& prompts,
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
    if (config.primary_share < 1)
      plan.by_first.push_back(static_cast<double>(i % config.images_per_prompt) <
                              config.primary_share * static_cast<double>(config.images_per_prompt));
    if (config.share_noise)
      plan.draw.noise_seeds.push_back(data::splitmix64(~base + static_cast<uint64_t>(prompt)) >> 1);
  }
  plan.draw.branch_sizes = branch_sizes(config);
  return plan;
}

RowShard share_of(const ProcessGroup& ranks, const FinetuneConfig& config) {
  const int64_t images = config.prompts_per_epoch * config.images_per_prompt,
                tree = branch_sizes(config).at(0), trees = images / tree;
  if (trees < ranks.count) {
    throw data::BadInput("prompts_per_epoch x images_per_prompt: expected at least an image for " +
                         std::string("each of ") + std::to_string(ranks.count) + " ranks, found " +
                         std::to_string(images) +
                         (tree > 1 ? " in " + std::to_string(trees) + " trees (branch)" : "") +
                         "; raise them, or start fewer ranks");
  }
  const RowShard shared =
      config.prompts_per_update == 0 ? contiguous_shard(ranks, trees) : strided_shard(ranks, trees);
  RowShard share{ranks, {}, images};
  for (const int64_t first : shared.rows) {
    for (int64_t i = 0; i < tree; ++i) share.rows.push_back(first * tree + i);
  }
  return share;
}

EpochPlan part_of(const EpochPlan& plan, const RowShard& share) {
  EpochPlan part{plan.prompts, {}};
  part.draw.branch_sizes = plan.draw.branch_sizes;
  for (const int64_t row : share.rows) {
    const auto i = static_cast<size_t>(row);
    part.draw.prompt_ids.push_back(plan.draw.prompt_ids[i]);
    part.draw.seeds.push_back(plan.draw.seeds[i]);
    if (!plan.by_first.empty()) part.by_first.push_back(plan.by_first[i]);
    if (!plan.draw.noise_seeds.empty()) part.draw.noise_seeds.push_back(plan.draw.noise_seeds[i]);
  }
  return part;
}

namespace {

using Rewards = std::vector<rewards::WeightedReward>;

// As measure_images, but the first reward rates `rows` alone; the others are NaN there.
at::Tensor measure_sparing_first(const Rewards& all,
                                 const at::Tensor& images,
                                 const std::vector<TrainingPrompt>& prompts,
                                 const std::vector<int64_t>& rows,
                                 const ProcessGroup& ranks) {
  const Rewards first{all[0]};
  at::Tensor measures =
      at::full({images.size(0), rewards::measure_width(first)}, std::nan(""), at::kDouble);
  if (!rows.empty()) {
    const at::Tensor places = at::tensor(rows, at::kLong);
    std::vector<TrainingPrompt> some;
    for (const int64_t row : rows) some.push_back(prompts[static_cast<size_t>(row)]);
    measures.index_copy_(
        0, places,
        measure_images(first, images.index_select(0, places.to(images.device())), some, ranks));
  }
  return at::cat({measures, measure_images({all.begin() + 1, all.end()}, images, prompts, ranks)},
                 1);
}

}  // namespace

std::vector<rewards::WeightedReward> epoch_rewards(const TrainingTask& task) {
  Rewards all = task.rewards;
  for (auto& held_out : guard_rewards_of(task)) all.push_back(std::move(held_out));
  return all;
}

at::Tensor measure(const TrainingTask& task,
                   const EpochPlan& plan,
                   const Trajectories& trajectories,
                   int64_t batch,
                   const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const at::Tensor latents = final_latents(trajectories);
  const Rewards all = epoch_rewards(task);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < latents.size(0); start += batch) {
    const int64_t count = std::min(batch, latents.size(0) - start);
    std::vector<TrainingPrompt> prompts;
    std::vector<int64_t> by_first;
    for (int64_t i = start; i < start + count; ++i) {
      if (!plan.by_first.empty() && plan.by_first[static_cast<size_t>(i)])
        by_first.push_back(i - start);
      prompts.push_back(
          plan.prompts[static_cast<size_t>(trajectories.prompt_ids[static_cast<size_t>(i)])]);
    }
    const at::Tensor images =
        decode(task, data::to_device(latents.narrow(0, start, count), task.device));
    parts.push_back(plan.by_first.empty()
                        ? measure_images(all, images, prompts, ranks)
                        : measure_sparing_first(all, images, prompts, by_first, ranks));
  }
  return at::cat(parts);
}

at::Tensor rate(const TrainingTask& task,
                const EpochPlan& plan,
                const RowShard& share,
                const Trajectories& own,
                int64_t batch) {
  const at::Tensor measures =
      all_gather_rows(share, measure(task, part_of(plan, share), own, batch, share.ranks));
  return rewards::scores_of(epoch_rewards(task), measures, plan.draw.prompt_ids);
}

}  // namespace finetune
