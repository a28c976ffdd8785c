#include "finetune/run/optimizer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <functional>

namespace finetune {
namespace {

void for_each_state(train::TrainState& state,
                    const std::function<void(at::Tensor& tensor)>& visit) {
  for (const auto& param : state.params) {
    at::Tensor value = param.value.detach();
    visit(value);
  }
  for (auto& tensor : state.adamw.exp_avg) visit(tensor);
  for (auto& tensor : state.adamw.exp_avg_sq) visit(tensor);
  for (auto& tensor : state.ema.shadow) visit(tensor);
  visit(state.adamw.step);
}

bool finite(const at::Tensor& tensor) {
  return std::isfinite(tensor.detach().sum().item<double>());
}

}  // namespace

Learner make_learner(const TrainingConfig& config,
                     train::Params params,
                     int64_t total_steps,
                     const Ranks& ranks) {
  Learner learner;
  learner.state.params = std::move(params);
  learner.state.adamw = train::make_adamw(learner.state.params);
  learner.state.ema = train::make_ema(learner.state.params, config.ema_decay);
  learner.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  learner.adamw = {config.adam_beta1, config.adam_beta2, config.adam_epsilon,
                   config.adam_weight_decay};
  learner.learning_rate = config.learning_rate;
  learner.schedule = train::lr_schedule_by_name(config.lr_scheduler);
  learner.warmup = config.lr_warmup_steps;
  learner.total_steps = total_steps;
  learner.max_grad_norm = config.max_grad_norm;
  if (config.shard_optimizer && ranks.count > 1)
    learner.moments = share_moments(ranks, learner.state.params);
  drop_others(learner.moments, learner.state.adamw);
  return learner;
}

Snapshot take_snapshot(const Learner& learner) {
  Snapshot snapshot{.tensors = {}, .ema_updates = learner.state.ema.updates};
  train::TrainState view = learner.state;  // shares the tensors
  for_each_state(view, [&](at::Tensor& tensor) { snapshot.tensors.push_back(tensor.clone()); });
  return snapshot;
}

void restore(const Snapshot& snapshot, Learner& learner) {
  size_t next = 0;
  for_each_state(learner.state,
                 [&](at::Tensor& tensor) { tensor.copy_(snapshot.tensors.at(next++)); });
  learner.state.ema.updates = snapshot.ema_updates;
}

std::optional<std::string> faulty_value(const train::Params& params) {
  for (const auto& param : params) {
    if (!finite(param.value)) return param.name;
  }
  return std::nullopt;
}

std::optional<std::string> faulty_gradient(const train::Params& params) {
  for (const auto& param : params) {
    if (param.value.grad().defined() && !finite(param.value.grad())) return param.name;
  }
  return std::nullopt;
}

StepResult take_step(Learner& learner) {
  StepResult result;
  result.learning_rate =
      learner.learning_rate *
      train::lr_factor(learner.schedule, learner.step, learner.warmup, learner.total_steps);
  result.grad_norm = train::grad_norm(learner.state.params);
  if (!std::isfinite(result.grad_norm)) {
    result.fault =
        "the gradient of " + faulty_gradient(learner.state.params).value_or("all together");
  } else {
    train::clip_grad_norm(learner.state.params, learner.max_grad_norm);
    sharded_step(learner.moments, learner.state.params, learner.state.adamw, learner.adamw,
                 result.learning_rate);
    train::update_ema(learner.state.ema, learner.state.params);
    ++learner.step;
  }
  train::zero_grad(learner.state.params);
  return result;
}

}  // namespace finetune
