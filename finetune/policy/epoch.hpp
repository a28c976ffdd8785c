#pragma once

// One epoch's images: whose, from which seeds, and what they earn.

#include <string>
#include <vector>

#include "finetune/distributed/row_shard.hpp"
#include "finetune/policy/rollout.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// The prompts of an epoch, and the seeds of their images.
struct EpochPlan {
  std::vector<TrainingPrompt> prompts;  // N
  SampleRequests draw;                  // N x images_per_prompt, a prompt's images side by side
  std::vector<bool> by_first{};  // of each image: the first reward rates it; none: it rates all
};
// Prompts without replacement (all of them before one comes twice), ordered by `generator`; seeds
// that depend on config.seed, the epoch and the place in it.
EpochPlan plan_epoch(const std::vector<TrainingPrompt>& prompts,
                     const FinetuneConfig& config,
                     int64_t epoch,
                     at::Generator& generator);

// The ranks' shares of an epoch's images, whole trees: stretches; where an update takes few of the
// prompts, each prompt's images are dealt among the ranks. Throws BadInput when there are fewer
// images, or trees, than ranks.
RowShard share_of(const ProcessGroup& ranks, const FinetuneConfig& config);
// The plan's images of this share; all of its prompts.
EpochPlan part_of(const EpochPlan& plan, const RowShard& share);

// What rates an epoch's images: the trained rewards, then the guard's.
std::vector<rewards::WeightedReward> epoch_rewards(const TrainingTask& task);
// Decodes and measures trajectories' final latents, `batch` at a time, by epoch_rewards; the plan
// is that of these trajectories. -> [P, W] fp64 (rewards/combine/measures.hpp); NaN where the plan
// spares the first reward
at::Tensor measure(const TrainingTask& task,
                   const EpochPlan& plan,
                   const Trajectories& trajectories,
                   int64_t batch,
                   const ProcessGroup& ranks = {});
// An epoch's images, of which `own` are this share's, rated by epoch_rewards. -> [P, M + H] fp64
// raw, of all; NaN where the plan spares the first reward
at::Tensor rate(const TrainingTask& task,
                const EpochPlan& plan,
                const RowShard& share,
                const Trajectories& own,
                int64_t batch);

}  // namespace finetune
