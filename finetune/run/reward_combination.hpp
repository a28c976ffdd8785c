#pragma once

#include "finetune/run/training_config.hpp"
#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/reward.hpp"

namespace finetune {

// How a run's trained rewards become one. Throws BadInput for limits of a reward that is not
// trained, and as read_statistics.
rewards::CombineOptions combine_options(const std::vector<rewards::WeightedReward>& trained,
                                        const TrainingConfig& config);

}  // namespace finetune
