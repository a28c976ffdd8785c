#include "finetune/run/reward_combination.hpp"

#include "rewards/combine/statistics.hpp"

namespace finetune {

rewards::CombineOptions combine_options(const std::vector<rewards::WeightedReward>& trained,
                                        const TrainingConfig& config) {
  std::vector<std::string> names;
  std::vector<double> weights;
  for (const auto& [reward, weight] : trained) {
    names.push_back(reward.info.name);
    weights.push_back(weight);
  }
  rewards::CombineOptions options{
      .weights = weights,
      .normaliser =
          &rewards::normaliser_by_name(config.normalise_rewards, rewards::Stage::kTraining),
      .aggregate = {.kind = &rewards::aggregate_by_name(config.aggregate),
                    .temperature = config.soft_min_temperature,
                    .k = config.aggregate_k,
                    .nominal = config.robust_nominal,
                    .groups = rewards::member_groups(trained)},
      .constraint_rate = config.constraint_rate};
  if (!config.caps.empty()) options.caps = rewards::parse_caps(config.caps, names);
  if (!config.constraints.empty())
    options.constraints = rewards::parse_constraints(config.constraints, names);
  if (options.normaliser->reads_statistics)
    options.statistics = rewards::read_statistics(config.reward_statistics, names).moments;
  return options;
}

}  // namespace finetune
