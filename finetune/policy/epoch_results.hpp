#pragma once

// What the trainers of drawn and rated images do with an epoch's results alike.

#include "finetune/distributed/process_group.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// True where the epoch's images are `finite`: the parameters are kept as good. Otherwise they are
// put back to where they were good, and `lost_in_a_row` counts on. Throws std::runtime_error at the
// third such epoch in a row. `finite`: the same on all ranks
bool keep_finite_epoch(TrainingRun& session, bool finite, int64_t& lost_in_a_row);

// The combined reward's mean and spread within prompts, each reward's mean, and the constraints'
// multipliers. rewards: [P, M] raw; combined: [P]; prompt_ids: P
MetricValues reward_figures(const TrainingRun& session,
                            const at::Tensor& rewards,
                            const at::Tensor& combined,
                            const std::vector<int64_t>& prompt_ids);

// What the ranks exchanged since `before`; empty where there is one.
MetricValues exchange_figures(const ProcessGroup& ranks, const CommunicationStats& before);

}  // namespace finetune
