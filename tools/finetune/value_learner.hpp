#pragma once

// What a finetuning run does with its epochs' states: a value network learns from them as it goes,
// and they are kept for `laurel train-reward value --runs`.

#include "finetune/policy/step_credit.hpp"
#include "finetune/task/training_task.hpp"
#include "rewards/value/online.hpp"

namespace tools {

// What a network says that states are worth.  -> [B], in the unit of the weighted reward
at::Tensor network_values(const rewards::ValueNetwork& network,
                          const finetune::StateBatch& states,
                          const finetune::TrainingTask& task);

// A network that knows nothing yet, the value that it gives, and how it learns. Its figures of an
// epoch: value/explained, the share of the reward's variance within prompts that it explains, on
// average over the steps, before it learns from that epoch; value/explained_early, the same of the
// first half of the steps; value/loss, the mean of the updates then. `task` must outlive the
// result.
struct LearntValue {
  finetune::StateValue value;
  finetune::ValueLearner learner;
};
LearntValue make_learnt_value(const finetune::TrainingTask& task,
                              const rewards::OnlineOptions& options,
                              int64_t seed);

// Writes an epoch's states into a folder. `task` must outlive the result.
std::function<void(const std::filesystem::path& folder, const finetune::EpochStates& states)>
states_writer(const finetune::TrainingTask& task);

}  // namespace tools
