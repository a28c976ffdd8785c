#pragma once

#include "finetune/task/training_config.hpp"
#include "finetune/task/training_task.hpp"
#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/reward.hpp"

namespace finetune {

// The raw rewards of an epoch's images: [P, M] trained, [P, H] held out, and their P prompts.
struct EpochRewards {
  const at::Tensor& trained;
  const at::Tensor& held_out;
  const std::vector<int64_t>& prompt_ids;
};

// How a run's trained rewards become one. Throws BadInput for limits of a reward that is not
// trained, and as read_statistics.
rewards::CombineOptions combine_options(const std::vector<rewards::WeightedReward>& trained,
                                        const TrainingConfig& config);

// Throws BadInput for `caps = auto`: of trainings without epochs.
void refuse_auto_caps(const TrainingConfig& config);

// Chooses, of the start's images, what `caps = auto` stands for (rewards/combine/proxy_points.hpp),
// and says it; nothing for other caps. held_out: [P, H], whose first column is the gold. Throws
// BadInput where there is none.
void choose_caps(rewards::CombineState& state,
                 const TrainingTask& task,
                 const TrainingConfig& config,
                 const EpochRewards& epoch,
                 const Reporter& reporter);

}  // namespace finetune
