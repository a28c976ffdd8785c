#include "tools/cli/combination_options.hpp"

#include "data/base/error.hpp"
#include "rewards/combine/statistics.hpp"

namespace tools {

void declare_combination(Options& options, CombinationConfig& config) {
  options.choice("normalise", config.normalise, rewards::normaliser_names(rewards::Stage::kScoring),
                 "scale before weighting");
  options.choice("aggregate", config.aggregate, rewards::aggregate_names(false),
                 "of several rewards");
  options.text("caps", config.caps, "limits in raw units: imagereward=..2,aesthetic=4..7");
  options.text("statistics", config.statistics, "file of --save-statistics, for fixed");
  options.rare().number("soft_min_temperature", config.temperature, "of soft_min", 1e-6, 1e300);
  options.rare().number("aggregate_k", config.aggregate_k, "of mean_std and uncertainty", 0, 1e300);
}

rewards::CombineOptions combination(const CombinationConfig& config,
                                    const std::vector<rewards::WeightedReward>& rewards) {
  rewards::CombineOptions options = rewards::combine_options(rewards);
  std::vector<std::string> names;
  for (const auto& part : rewards) names.push_back(part.reward.info.name);
  options.normaliser = &rewards::normaliser_by_name(config.normalise, rewards::Stage::kScoring);
  options.aggregate = {.kind = &rewards::aggregate_by_name(config.aggregate),
                       .temperature = config.temperature,
                       .k = config.aggregate_k,
                       .groups = options.aggregate.groups};
  if (!config.caps.empty()) options.caps = rewards::parse_caps(config.caps, names);
  const bool reads_statistics = options.normaliser->reads_statistics;
  if (reads_statistics && config.statistics.empty())
    throw data::BadInput("--normalise " + config.normalise +
                         ": expected --statistics FILE, found none; make one with laurel score "
                         "--save-statistics FILE");
  if (!reads_statistics && !config.statistics.empty())
    throw data::BadInput("--statistics: expected --normalise fixed, found --normalise " +
                         config.normalise);
  if (reads_statistics)
    options.statistics = rewards::read_statistics(config.statistics, names).moments;
  return options;
}

}  // namespace tools
