#include "finetune/policy/epoch_results.hpp"

#include <ATen/ATen.h>

#include <stdexcept>

#include "rewards/combine/epoch_combiner.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr int64_t kMostLostInARow = 3;

double mean_of_finite(const at::Tensor& values) {
  return values.masked_select(values.isfinite()).mean().item<double>();
}

}  // namespace

bool keep_finite_epoch(TrainingRun& session, bool finite, int64_t& lost_in_a_row) {
  if (finite) {
    save_snapshot(session);
    lost_in_a_row = 0;
    return true;
  }
  const std::string where =
      faulty_value(session.optimizer.state.params).value_or("the network's output");
  restore_snapshot(session, where);
  if (++lost_in_a_row >= kMostLostInARow) {
    throw std::runtime_error("finetune: " + where + " was not finite in " +
                             std::to_string(kMostLostInARow) +
                             " epochs in a row; lower the learning rate");
  }
  return false;
}

MetricValues reward_figures(const TrainingRun& session,
                            const at::Tensor& rewards,
                            const at::Tensor& combined,
                            const std::vector<int64_t>& prompt_ids) {
  MetricValues figures{{"reward_mean", mean_of_finite(combined)},
                       {"reward_std", rewards::spread_within_prompts(combined, prompt_ids)}};
  for (size_t m = 0; m < session.task.rewards.size(); ++m)
    figures.emplace_back("reward/" + session.task.rewards[m].reward.info.name,
                         mean_of_finite(rewards.select(1, static_cast<int64_t>(m))));
  for (const auto& [name, value] : rewards::numbers_of(session.progress.combine)) {
    if (name.starts_with("multiplier.")) figures.emplace_back(name, value);
  }
  const at::Tensor weights = session.progress.combine.weights;
  for (size_t m = 0; weights.defined() && m < session.task.rewards.size(); ++m)
    figures.emplace_back("weight/" + session.task.rewards[m].reward.info.name,
                         weights[static_cast<int64_t>(m)].item<double>());
  return figures;
}

MetricValues exchange_figures(const ProcessGroup& ranks, const CommunicationStats& before) {
  if (ranks.count == 1) return {};
  const CommunicationStats after = communication_stats(ranks);
  return {{"seconds/exchange", after.seconds - before.seconds},
          {"bytes/exchange", after.bytes - before.bytes}};
}

}  // namespace finetune
