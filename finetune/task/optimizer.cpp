#include "finetune/task/optimizer.hpp"

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

Optimizer make_optimizer(const TrainingConfig& config,
                         train::Params params,
                         int64_t total_steps,
                         const ProcessGroup& ranks) {
  Optimizer optimizer;
  optimizer.state.params = std::move(params);
  optimizer.state.adamw = train::make_adamw(optimizer.state.params);
  optimizer.state.ema = train::make_ema(optimizer.state.params, config.ema_decay);
  optimizer.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  optimizer.adamw = {config.adam_beta1, config.adam_beta2, config.adam_epsilon,
                     config.adam_weight_decay};
  optimizer.learning_rate = config.learning_rate;
  optimizer.schedule = train::lr_schedule(config.lr_scheduler);
  optimizer.warmup = config.lr_warmup_steps;
  optimizer.total_steps = total_steps;
  optimizer.max_grad_norm = config.max_grad_norm;
  if (config.shard_optimizer && ranks.count > 1)
    optimizer.moments = partition_moments(ranks, optimizer.state.params);
  drop_unowned_moments(optimizer.moments, optimizer.state.adamw);
  return optimizer;
}

Snapshot take_snapshot(const Optimizer& optimizer) {
  Snapshot snapshot{.tensors = {}, .ema_updates = optimizer.state.ema.updates};
  train::TrainState view = optimizer.state;  // shares the tensors
  for_each_state(view, [&](at::Tensor& tensor) { snapshot.tensors.push_back(tensor.clone()); });
  return snapshot;
}

void restore(const Snapshot& snapshot, Optimizer& optimizer) {
  size_t next = 0;
  for_each_state(optimizer.state,
                 [&](at::Tensor& tensor) { tensor.copy_(snapshot.tensors.at(next++)); });
  optimizer.state.ema.updates = snapshot.ema_updates;
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

StepResult take_step(Optimizer& optimizer) {
  StepResult result;
  result.learning_rate =
      optimizer.learning_rate *
      train::lr_factor(optimizer.schedule, optimizer.step, optimizer.warmup, optimizer.total_steps);
  result.grad_norm = train::grad_norm(optimizer.state.params);
  if (!std::isfinite(result.grad_norm)) {
    result.fault =
        "the gradient of " + faulty_gradient(optimizer.state.params).value_or("all together");
  } else {
    train::clip_grad_norm(optimizer.state.params, optimizer.max_grad_norm);
    sharded_step(optimizer.moments, optimizer.state.params, optimizer.state.adamw, optimizer.adamw,
                 result.learning_rate);
    train::update_ema(optimizer.state.ema, optimizer.state.params);
    ++optimizer.step;
  }
  train::zero_grad(optimizer.state.params);
  return result;
}

}  // namespace finetune
