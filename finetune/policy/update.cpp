#include "finetune/policy/update.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "data/device/transfer.hpp"
#include "finetune/policy/methods/ddpo_loss.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"

namespace finetune {
namespace {

using MetricValues = std::vector<std::pair<std::string, double>>;

std::vector<int64_t> permutation(int64_t count, at::Generator& generator) {
  const at::Tensor order = at::randperm(count, generator);
  return {order.data_ptr<int64_t>(), order.data_ptr<int64_t>() + count};
}

// What all ranks know of an epoch's P trajectories.
struct Known {
  std::vector<int64_t> prompt_ids;
  at::Tensor log_ratio;            // [P, T] fp64, as drawn
  std::map<int64_t, int64_t> own;  // of this rank's rows: their place in its trajectories
};
Known known_of(const UpdateInput& input) {
  const RowShard& share = input.share;
  const at::Tensor ids =
      all_gather_rows(share, at::tensor(input.trajectories.prompt_ids, at::kLong)).contiguous();
  Known known{{ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()},
              all_gather_rows(share, input.trajectories.log_ratio),
              {}};
  for (size_t i = 0; i < share.rows.size(); ++i) known.own[share.rows[i]] = static_cast<int64_t>(i);
  return known;
}

// The trajectories of each optimiser step of one pass.
std::vector<std::vector<int64_t>> step_rows(const std::vector<int64_t>& ids,
                                            const FinetuneConfig& config,
                                            Optimizer& optimizer) {
  std::vector<int64_t> all(ids.size());
  std::iota(all.begin(), all.end(), 0);
  if (config.prompts_per_update == 0) return {all};
  const std::set<int64_t> distinct(ids.begin(), ids.end());
  const std::vector<int64_t> prompts(distinct.begin(), distinct.end());
  const auto order = permutation(static_cast<int64_t>(prompts.size()), optimizer.state.generator);
  std::vector<std::vector<int64_t>> steps;
  for (size_t start = 0; start < order.size();
       start += static_cast<size_t>(config.prompts_per_update)) {
    const size_t end =
        std::min(order.size(), start + static_cast<size_t>(config.prompts_per_update));
    steps.emplace_back();
    for (size_t i = start; i < end; ++i) {
      const int64_t prompt = prompts[static_cast<size_t>(order[i])];
      std::copy_if(all.begin(), all.end(), std::back_inserter(steps.back()),
                   [&](int64_t row) { return ids[static_cast<size_t>(row)] == prompt; });
    }
  }
  return steps;
}

// The steps that carry this update's gradient, and the factor that keeps its expectation.
struct StepChoice {
  std::vector<int64_t> steps;
  double factor = 1;
};
StepChoice choose_steps(const SamplingPlan& chain, double fraction, at::Generator& generator) {
  std::vector<int64_t> active;
  for (int64_t k = 0; k < chain.mask.size(0); ++k) {
    if (chain.mask[k].item<double>() != 0) active.push_back(k);
  }
  const auto total = static_cast<int64_t>(active.size());
  const auto count = static_cast<int64_t>(std::ceil(fraction * static_cast<double>(total) - 1e-9));
  if (count >= total) return {active, 1.0};
  StepChoice choice{{}, static_cast<double>(total) / static_cast<double>(count)};
  const auto order = permutation(total, generator);
  for (int64_t i = 0; i < count; ++i)
    choice.steps.push_back(active[static_cast<size_t>(order[static_cast<size_t>(i)])]);
  std::sort(choice.steps.begin(), choice.steps.end());
  return choice;
}

// The R trajectories of one optimiser step.
struct Rows {
  at::Tensor index;  // [R] int64: their rows in the epoch
  std::vector<int64_t> prompt_ids;
  at::Tensor old, rewards;   // [R, T] log-ratios as drawn, [R]
  RowShard share;            // this rank's, as places in 0 .. R - 1
  std::vector<int64_t> own;  // the same, as rows of its trajectories
};
Rows rows_of(const UpdateInput& input, const Known& known, const std::vector<int64_t>& list) {
  const at::Tensor index = at::tensor(list, at::kLong);
  Rows rows{index,
            {},
            known.log_ratio.index_select(0, index),
            input.rewards.index_select(0, index),
            {input.share.ranks, {}, index.size(0)},
            {}};
  for (size_t i = 0; i < list.size(); ++i) {
    rows.prompt_ids.push_back(known.prompt_ids[static_cast<size_t>(list[i])]);
    const auto mine = known.own.find(list[i]);
    if (mine == known.own.end()) continue;
    rows.share.rows.push_back(static_cast<int64_t>(i));
    rows.own.push_back(mine->second);
  }
  return rows;
}

// This rank's rows of a tensor of the step's.  all: [R, ...]
at::Tensor own_of(const Rows& rows, const at::Tensor& all) {
  return all.index_select(0, at::tensor(rows.share.rows, at::kLong));
}

// Leaves the gradient of PRDP's loss on these trajectories in the parameters. `at_snapshot`: the
// policy is the one that drew.
MetricValues add_prdp_gradient(const UpdateInput& input,
                               const FinetuneConfig& config,
                               const Rows& rows,
                               const StepChoice& choice,
                               bool at_snapshot,
                               const train::Params& params) {
  const at::Tensor now =
      at_snapshot
          ? rows.old
          : all_gather_rows(rows.share, log_ratios(input.policy, input.trajectories, rows.own,
                                                   input.chain, config.train_batch_size));
  const auto result = prdp_gradient(now, rows.old, rows.rewards, rows.prompt_ids,
                                    {input.beta, input.clip_range}, input.chain.mask);
  const at::Tensor weights =
      data::to_device(own_of(rows, result.weights * choice.factor), input.chain.device);
  if (result.statistics.pairs > 0) {
    accumulate_gradient(input.policy, input.trajectories, rows.own, choice.steps, input.chain,
                        config.train_batch_size,
                        [&](int64_t start, int64_t step, const at::Tensor& u) {
                          return weights.select(1, step).narrow(0, start, u.size(0));
                        });
    all_reduce_gradients(input.share.ranks, params);
  }
  const auto& statistics = result.statistics;
  return {{"loss", statistics.loss},
          {"clipfrac", statistics.clip_fraction},
          {"clipped_pairs", statistics.clipped_pairs},
          {"explained_variance", statistics.explained_variance},
          {"degenerate_prompts", static_cast<double>(statistics.degenerate)},
          {"dropped", static_cast<double>(statistics.dropped)}};
}

// The same for DDPO, whose loss is a sum over steps: one pass.
MetricValues add_ddpo_gradient(const UpdateInput& input,
                               const FinetuneConfig& config,
                               const Rows& rows,
                               const StepChoice& choice,
                               const train::Params& params) {
  const at::Device device = input.chain.device;
  const at::Tensor advantages = data::to_device(
      own_of(rows, prompt_advantages(rows.rewards, rows.prompt_ids, config.adv_clip_max)), device);
  const at::Tensor old = data::to_device(own_of(rows, rows.old), device);
  const double entries =
      static_cast<double>(rows.index.numel()) * static_cast<double>(choice.steps.size());
  at::Tensor sums = at::zeros({2}, at::TensorOptions(at::kDouble).device(device));
  accumulate_gradient(
      input.policy, input.trajectories, rows.own, choice.steps, input.chain,
      config.train_batch_size, [&](int64_t start, int64_t step, const at::Tensor& u) {
        const auto narrow = [&](const at::Tensor& x) { return x.narrow(0, start, u.size(0)); };
        const auto result = ddpo_gradient(u.unsqueeze(1), narrow(old).select(1, step).unsqueeze(1),
                                          narrow(advantages), input.clip_range);
        sums.add_(at::stack({result.loss, result.clip_fraction * u.size(0)}), 1 / entries);
        return result.weights.squeeze(1) / entries;
      });
  all_reduce_gradients(input.share.ranks, params);
  sums = data::to_host(sums);
  all_reduce_sum(input.share.ranks, sums);
  return {{"loss", sums[0].item<double>()}, {"clipfrac", sums[1].item<double>()}};
}

void add_to(std::map<std::string, double>& sums,
            std::vector<std::string>& names,
            const MetricValues& figures) {
  for (const auto& [name, value] : figures) {
    if (sums.emplace(name, 0).second) names.push_back(name);
    sums[name] += value;
  }
}

}  // namespace

int64_t updates_per_epoch(const FinetuneConfig& config) {
  const int64_t prompts = config.prompts_per_epoch, each = config.prompts_per_update;
  return config.num_inner_epochs * (each == 0 ? 1 : (prompts + each - 1) / each);
}

UpdateReport update(const UpdateInput& input,
                    const FinetuneConfig& config,
                    Optimizer& optimizer,
                    const std::function<void()>& progress) {
  UpdateReport report;
  std::map<std::string, double> sums;
  std::vector<std::string> names;
  const Known known = known_of(input);
  const train::Params& params = optimizer.state.params;
  bool at_snapshot = true;  // the log-ratios stored with the trajectories are the policy's own
  for (int64_t pass = 0; pass < config.num_inner_epochs; ++pass) {
    for (const auto& list : step_rows(known.prompt_ids, config, optimizer)) {
      const Rows rows = rows_of(input, known, list);
      const StepChoice choice =
          choose_steps(input.chain, config.timestep_fraction, optimizer.state.generator);
      MetricValues figures =
          config.method == Method::kPrdp
              ? add_prdp_gradient(input, config, rows, choice, at_snapshot, params)
              : add_ddpo_gradient(input, config, rows, choice, params);
      const StepResult step = take_step(optimizer);
      progress();
      if (!step.fault.empty()) {
        report.faults.push_back(step.fault);
        continue;
      }
      at_snapshot = false;
      ++report.steps;
      figures.insert(figures.end(), {{"grad_norm", step.grad_norm}, {"lr", step.learning_rate}});
      add_to(sums, names, figures);
    }
  }
  for (const auto& name : names) {
    report.values.emplace_back(
        name, sums[name] / static_cast<double>(std::max<int64_t>(1, report.steps)));
  }
  return report;
}

}  // namespace finetune
