#include "finetune/task/reward_combination.hpp"

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "rewards/combine/proxy_points.hpp"
#include "rewards/combine/statistics.hpp"

namespace finetune {
namespace {

constexpr const char* kAutoCaps = "auto";

}  // namespace

void refuse_auto_caps(const TrainingConfig& config) {
  if (config.caps == kAutoCaps)
    throw data::BadInput(
        "caps: expected limits, as imagereward=..2, found auto, which goes with methods that draw "
        "epochs of images (prdp, raft, ..)");
}

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
      .constraint_rate = config.constraint_rate,
      .learning = {.primary = config.learn_weights ? 0 : -1,
                   .rate = config.auxiliary_rate,
                   .decay = config.auxiliary_decay,
                   .largest = config.largest_auxiliary}};
  if (!config.caps.empty() && config.caps != kAutoCaps)
    options.caps = rewards::parse_caps(config.caps, names);
  if (!config.constraints.empty())
    options.constraints = rewards::parse_constraints(config.constraints, names);
  if (options.normaliser->reads_statistics)
    options.statistics = rewards::read_statistics(config.reward_statistics, names).moments;
  return options;
}

void choose_caps(rewards::CombineState& state,
                 const TrainingTask& task,
                 const TrainingConfig& config,
                 const EpochRewards& epoch,
                 const Reporter& reporter) {
  if (config.caps != kAutoCaps) return;
  if (epoch.held_out.size(1) == 0)
    throw data::BadInput(
        "caps: auto needs a held-out reward as the gold, found none; name one by --guard_rewards, "
        "with --guard warn or on");
  const std::string gold = task.guard_rewards[0];
  state.highest =
      rewards::proxy_points(epoch.trained, epoch.held_out.select(1, 0), epoch.prompt_ids);
  for (size_t m = 0; m < task.rewards.size(); ++m) {
    const double cap = state.highest[static_cast<int64_t>(m)].item<double>();
    reporter.say("caps: " + task.rewards[m].reward.info.name +
                 (cap == rewards::kNoCap
                      ? ": none, " + gold + " rises with it"
                      : data::formatted("=..%.4g, where ", cap) + gold + " is largest"));
  }
}

}  // namespace finetune
