#include "finetune/policy/step_credit.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

// Each row's entries in an order of its own.  x: [P, T]
at::Tensor shuffled_rows(const at::Tensor& x, at::Generator& generator) {
  const at::Tensor order = at::rand(x.sizes(), generator, x.options());
  return x.gather(1, at::argsort(order, /*stable=*/true, 1, /*descending=*/false));
}

// Deviation of the labels over that of the rewards; 0 where the rewards do not vary.
double unit_of_labels(const at::Tensor& labels, const at::Tensor& rewards) {
  const double own = rewards.std(/*unbiased=*/false).item<double>();
  return own > 0 ? labels.std(/*unbiased=*/false).item<double>() / own : 0.0;
}

}  // namespace

bool gives_credit(const StepCredit& credit) { return credit.steps.of || credit.baseline.of; }

bool is_known(const StateValue& value) { return value.of && (!value.ready || value.ready()); }

at::Tensor step_rewards(const at::Tensor& values, const at::Tensor& rewards) {
  data::check_shape(values, {-1, -1}, "step_rewards: values");
  data::check_shape(rewards, {values.size(0)}, "step_rewards: rewards");
  return at::cat({values.slice(1, 1), rewards.unsqueeze(1)}, 1) - values;
}

at::Tensor step_labels(const StepCredit& credit,
                       const at::Tensor& labels,
                       const EpochValues& values,
                       const std::vector<int64_t>& prompt_ids,
                       at::Generator& generator) {
  data::check_shape(labels, {static_cast<int64_t>(prompt_ids.size())}, "step_labels: labels");
  const at::Tensor& known = values.steps.defined() ? values.steps : values.baseline;
  data::check_shape(known, {labels.size(0), -1}, "step_labels: values");
  at::Tensor moves = at::zeros_like(known);  // [P, T] in the reward's unit
  if (values.steps.defined()) {
    const at::Tensor own = step_rewards(values.steps, values.rewards);
    moves = moves + credit.scale * (credit.shuffled ? shuffled_rows(own, generator) : own);
  }
  if (values.baseline.defined()) moves = moves - values.baseline;
  at::Tensor result = labels.unsqueeze(1).expand_as(known).clone();
  const at::Tensor usable = moves.sum(1) + values.rewards;  // finite where all of them are
  for (const auto& members : rewards::prompt_groups(usable, prompt_ids)) {
    if (members.size() < 2) continue;
    const at::Tensor rows = at::tensor(members, at::kLong), group = moves.index_select(0, rows);
    const double unit =
        unit_of_labels(labels.index_select(0, rows), values.rewards.index_select(0, rows));
    result.index_add_(0, rows, unit * (group - group.mean(0, /*keepdim=*/true)));
  }
  return result;
}

}  // namespace finetune
