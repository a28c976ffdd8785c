#include "finetune/policy/update.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "data/base/splitmix.hpp"
#include "data/device/transfer.hpp"

namespace finetune {
namespace {

using NamedFigures = std::vector<std::pair<std::string, double>>;

std::vector<int64_t> permutation(int64_t count, at::Generator& generator) {
  const at::Tensor order = at::randperm(count, generator);
  return {order.data_ptr<int64_t>(), order.data_ptr<int64_t>() + count};
}

// What all ranks know of an epoch's P trajectories.
struct Known {
  std::vector<int64_t> prompt_ids;
  at::Tensor log_ratio;            // [P, T] fp64, as drawn
  at::Tensor labels;               // [P] fp64, of PolicyMethod::labels; with credit [P, T]
  at::Tensor counted;              // [P] bool, whose reward is finite
  std::map<int64_t, int64_t> own;  // of this rank's rows: their place in its trajectories
};
// `step`: of the optimiser. The order of shuffled credit is of its own, so that runs with and
// without it draw the same images.
Known known_of(const UpdateInput& input, const FinetuneConfig& config, int64_t step) {
  const RowShard& share = input.share;
  const at::Tensor ids =
      all_gather_rows(share, at::tensor(input.trajectories.prompt_ids, at::kLong)).contiguous();
  Known known{{ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()},
              all_gather_rows(share, input.trajectories.log_ratio),
              {},
              input.rewards.isfinite(),
              {}};
  known.labels = config.method.labels(input.rewards, known.prompt_ids);
  if (gives_credit(config.credit) && input.values.rewards.defined()) {
    auto generator = at::detail::createCPUGenerator(data::splitmix64(
        data::splitmix64(static_cast<uint64_t>(config.seed)) + static_cast<uint64_t>(step)));
    known.labels =
        step_labels(config.credit, known.labels, input.values, known.prompt_ids, generator);
  }
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
// Those that a method's gradient visits.
std::vector<int64_t> visited_steps(const SamplingPlan& chain, const PolicyMethod& method) {
  if (method.imitated_guidance == 0) return unmasked_steps(chain);
  std::vector<int64_t> all(chain.steps.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}
StepChoice choose_steps(const std::vector<int64_t>& active,
                        double fraction,
                        at::Generator& generator) {
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
  at::Tensor old, labels;    // [R, T] log-ratios as drawn, [R] or [R, T]
  at::Tensor counted;        // [R] bool, whose reward is finite
  RowShard share;            // this rank's, as places in 0 .. R - 1
  std::vector<int64_t> own;  // the same, as rows of its trajectories
};
Rows rows_of(const UpdateInput& input, const Known& known, const std::vector<int64_t>& list) {
  const at::Tensor index = at::tensor(list, at::kLong);
  Rows rows{index,
            {},
            known.log_ratio.index_select(0, index),
            known.labels.index_select(0, index),
            known.counted.index_select(0, index),
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

NamedFigures named_figures(const PolicyMethod& method, const at::Tensor& values) {
  NamedFigures figures;
  for (size_t i = 0; i < method.figures.size(); ++i)
    figures.emplace_back(method.figures[i], values[static_cast<int64_t>(i)].item<double>());
  return figures;
}

// Leaves the gradient of a loss that couples these trajectories in the parameters. `at_snapshot`:
// the policy is the one that drew.
NamedFigures add_coupled_gradient(const UpdateInput& input,
                                  const FinetuneConfig& config,
                                  const Rows& rows,
                                  const StepChoice& choice,
                                  bool at_snapshot,
                                  const train::Params& params) {
  const PolicyMethod& method = config.method;
  const BranchSizes& sizes = input.trajectories.branch_sizes;
  const at::Tensor now =
      at_snapshot
          ? rows.old
          : all_gather_rows(rows.share, log_ratios(input.policy, input.trajectories, rows.own,
                                                   input.chain, config.train_batch_size));
  const MethodGradient result =
      method.objective({.now = {now, {}},
                        .log_ratio_old = rows.old,
                        .labels = rows.labels,
                        .prompt_ids = rows.prompt_ids,
                        .step_mask = input.chain.mask,
                        .beta = input.beta,
                        .clip_range = input.clip_range,
                        .chain = {active_steps(input.chain), latent_dimensions(input.chain)},
                        .kl_factor = input.kl_factor});
  if (result.weights.log_ratio.defined()) {
    const at::Tensor weights =
        data::to_device(own_of(rows, result.weights.log_ratio * choice.factor), input.chain.device);
    accumulate_gradient(
        input.policy, input.trajectories, rows.own, choice.steps, input.chain,
        config.train_batch_size, /*with_kl=*/false,
        [&](int64_t first, int64_t step, const StepTerms& terms) {
          const int64_t size = sizes[static_cast<size_t>(step)];
          return StepWeights{
              branch_sums(weights.select(1, step), size).narrow(0, first, terms.log_ratio.size(0)),
              {}};
        });
    all_reduce_gradients(input.share.ranks, params);
  }
  return named_figures(method, result.figures);
}

// Some transitions of a step, as a method sees them whose loss is a mean over entries.
//   now: [b]; log_ratio_old, labels: [b]
MethodInput entries_of(const UpdateInput& input,
                       const StepTerms& now,
                       const at::Tensor& log_ratio_old,
                       const at::Tensor& labels) {
  const auto column = [](const at::Tensor& x) { return x.defined() ? x.unsqueeze(1) : x; };
  return {.now = {column(now.log_ratio), column(now.kl), column(now.error)},
          .log_ratio_old = column(log_ratio_old),
          .labels = labels,
          .prompt_ids = {},
          .step_mask = {},
          .beta = input.beta,
          .clip_range = input.clip_range,
          .chain = {active_steps(input.chain), latent_dimensions(input.chain)},
          .kl_factor = input.kl_factor};
}

// The same of a loss that is the mean over trajectories and steps: one pass.
NamedFigures add_separable_gradient(const UpdateInput& input,
                                    const FinetuneConfig& config,
                                    const Rows& rows,
                                    const StepChoice& choice,
                                    const train::Params& params) {
  const PolicyMethod& method = config.method;
  const at::Device device = input.chain.device;
  const BranchSizes& sizes = input.trajectories.branch_sizes;
  const at::Tensor by_step =  // [R, T]
      rows.labels.dim() == 2 ? rows.labels : edge_advantages(rows.labels, rows.counted, sizes);
  const at::Tensor labels = data::to_device(own_of(rows, by_step), device);
  const at::Tensor old = data::to_device(own_of(rows, rows.old), device);
  const double entries =
      static_cast<double>(rows.index.numel()) * static_cast<double>(choice.steps.size());
  at::Tensor figures = at::zeros({static_cast<int64_t>(method.figures.size())},
                                 at::TensorOptions(at::kDouble).device(device));
  accumulate_gradient(
      input.policy, input.trajectories, rows.own, choice.steps, input.chain,
      config.train_batch_size, method.weighs_kl,
      [&](int64_t first, int64_t step, const StepTerms& now) {
        const int64_t size = sizes[static_cast<size_t>(step)];
        const int64_t count = (now.log_ratio.defined() ? now.log_ratio : now.error).size(0);
        const double parts = entries / static_cast<double>(size);  // a transition of `size` images
        const auto of_branches = [&](const at::Tensor& x) {
          return first_of_branch(x.select(1, step), size).narrow(0, first, count);
        };
        const auto share = [&](const at::Tensor& x) {
          return x.defined() ? x.squeeze(1) / parts : x;
        };
        const auto result =
            method.objective(entries_of(input, now, of_branches(old), of_branches(labels)));
        figures.add_(result.figures, 1 / parts);
        return StepWeights{share(result.weights.log_ratio), share(result.weights.kl),
                           share(result.weights.error)};
      });
  all_reduce_gradients(input.share.ranks, params);
  figures = data::to_host(figures);
  all_reduce_sum(input.share.ranks, figures);
  return named_figures(method, figures);
}

// Leaves the gradient of the method's loss on these rows in the parameters.
NamedFigures add_gradient(const UpdateInput& input,
                          const FinetuneConfig& config,
                          const Rows& rows,
                          const StepChoice& choice,
                          bool at_snapshot,
                          const train::Params& params) {
  return config.method.couples_trajectories
             ? add_coupled_gradient(input, config, rows, choice, at_snapshot, params)
             : add_separable_gradient(input, config, rows, choice, params);
}

void add_to(std::map<std::string, double>& sums,
            std::vector<std::string>& names,
            const NamedFigures& figures) {
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
  const Known known = known_of(input, config, optimizer.step);
  const train::Params& params = optimizer.state.params;
  bool at_snapshot = true;  // the log-ratios stored with the trajectories are the policy's own
  for (int64_t pass = 0; pass < config.num_inner_epochs; ++pass) {
    for (const auto& list : step_rows(known.prompt_ids, config, optimizer)) {
      const Rows rows = rows_of(input, known, list);
      const StepChoice choice = choose_steps(visited_steps(input.chain, config.method),
                                             config.timestep_fraction, optimizer.state.generator);
      NamedFigures figures = add_gradient(input, config, rows, choice, at_snapshot, params);
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

at::Tensor take_gradient(const train::Params& params) {
  std::vector<at::Tensor> parts;
  for (const auto& param : params) {
    const at::Tensor& gradient = param.value.grad();
    const at::Tensor whole = gradient.defined() ? gradient : at::zeros_like(param.value.detach());
    parts.push_back(data::to_host(whole).to(at::kDouble).flatten());
  }
  train::zero_grad(params);
  return at::cat(parts);
}

at::Tensor first_gradient(const UpdateInput& input,
                          const FinetuneConfig& config,
                          const train::Params& params) {
  train::zero_grad(params);
  const Known known = known_of(input, config, 0);
  std::vector<int64_t> all(known.prompt_ids.size());
  std::iota(all.begin(), all.end(), 0);
  add_gradient(input, config, rows_of(input, known, all),
               {visited_steps(input.chain, config.method), 1}, /*at_snapshot=*/true, params);
  return take_gradient(params);
}

}  // namespace finetune
