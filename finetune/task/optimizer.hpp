#pragma once

// What is trained, its optimiser, and the way back when a step goes wrong.

#include <optional>
#include <string>
#include <vector>

#include "data/train/lr_schedule.hpp"
#include "data/train/train_state.hpp"
#include "finetune/distributed/zero_optimizer.hpp"
#include "finetune/task/training_config.hpp"

namespace finetune {

struct Optimizer {
  train::TrainState state;  // its generator orders prompts and steps
  train::AdamWOptions adamw;
  double learning_rate = 0;
  train::LrSchedule schedule = train::lr_schedule("constant");
  int64_t warmup = 0, total_steps = 1;
  double max_grad_norm = 1;
  int64_t step = 0;  // optimiser steps done
  MomentOwners moments{};
};

// With config.shard_optimizer the moments are shared out among the ranks.
Optimizer make_optimizer(const TrainingConfig& config,
                         train::Params params,
                         int64_t total_steps,
                         const ProcessGroup& ranks = {});

// Copies of parameters, moments and moving average, to go back to.
struct Snapshot {
  std::vector<at::Tensor> tensors;
  int64_t ema_updates = 0;
};
Snapshot take_snapshot(const Optimizer& optimizer);
void restore(const Snapshot& snapshot, Optimizer& optimizer);

// The first parameter whose value or gradient is not finite: "down_blocks.0....to_q.lora_A.weight".
std::optional<std::string> faulty_value(const train::Params& params);
std::optional<std::string> faulty_gradient(const train::Params& params);

struct StepResult {
  double grad_norm = 0;  // before clipping
  double learning_rate = 0;
  std::string fault;  // empty; else what was not finite, and the step was not taken
};
// One AdamW step on the gradients that are there, the same at all ranks: clips them, takes the
// step, updates the average, drops the gradients. A gradient that is not finite changes nothing.
StepResult take_step(Optimizer& optimizer);

}  // namespace finetune
