#include "tools/cli/combination_options.hpp"

#include "data/base/error.hpp"

namespace tools {

void declare_combination(Options& options, CombinationConfig& config) {
  options.choice("normalise", config.normalise, {"none", "range", "prompt", "rank", "all", "fixed"},
                 "scale before weighting");
  options.choice("aggregate", config.aggregate,
                 {"sum", "mean", "min", "soft_min", "mean_std", "uncertainty"},
                 "of several rewards");
  options.text("caps", config.caps, "limits in raw units: imagereward=..2,aesthetic=4..7");
  options.text("statistics", config.statistics, "file of --save-statistics, for fixed");
  options.number("soft_min_temperature", config.temperature, "of soft_min", 1e-6, 1e300);
  options.number("aggregate_k", config.aggregate_k, "of mean_std and uncertainty", 0, 1e300);
  options.rarely({"soft_min_temperature", "aggregate_k"});
}

rewards::CombineOptions combination(const CombinationConfig& config,
                                    const std::vector<std::string>& reward_names) {
  rewards::CombineOptions options{.normaliser = rewards::normaliser_by_name(config.normalise),
                                  .aggregate = {.kind = data::aggregate_by_name(config.aggregate),
                                                .temperature = config.temperature,
                                                .k = config.aggregate_k}};
  if (!config.caps.empty()) options.caps = data::parse_caps(config.caps, reward_names);
  const bool fixed = options.normaliser == rewards::Normaliser::kFixed;
  if (fixed && config.statistics.empty())
    throw data::BadInput(
        "--normalise fixed: expected --statistics FILE, found none; make one with "
        "laurel score --save-statistics FILE");
  if (!fixed && !config.statistics.empty())
    throw data::BadInput("--statistics: is of --normalise fixed alone, found --normalise " +
                         config.normalise);
  if (fixed) options.moments = data::read_statistics(config.statistics, reward_names).moments;
  return options;
}

}  // namespace tools
