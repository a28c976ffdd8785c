#include "finetune/run/reward_combination.hpp"

#include "rewards/combine/statistics.hpp"

namespace finetune {

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

}  // namespace finetune
