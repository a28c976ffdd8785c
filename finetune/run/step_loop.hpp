#pragma once

// A run whose rounds are optimiser steps, each on one drawn batch: distillation, and the training
// of an editing model.

#include <functional>
#include <map>
#include <string>

#include "finetune/run/training_run.hpp"

namespace finetune {

// What one batch left behind.
struct BatchResult {
  MetricValues figures;  // "loss" and others: their means are logged
  std::string fault{};   // what was not finite, as "the loss": the step is not taken
};

struct StepLoop {
  int64_t max_train_steps = 0;
  int64_t batch = 0;          // images of a step, of all ranks
  int64_t report_every = 50;  // steps between lines of metrics
  // Draws a batch and leaves this rank's part of its gradient in the optimizer's parameters.
  std::function<BatchResult()> accumulate;
  // After the optimizer's step; more figures to log the means of. Empty: nothing to do.
  std::function<MetricValues()> after_step{};
  // Figures to log as they are when a line of metrics is written. Empty: none.
  std::function<MetricValues()> state{};
  // What a reported step says after its loss, from the means by name: ", reward 0.3". Empty: no
  // more.
  std::function<std::string(const std::map<std::string, double>& means)> words{};
};

// Runs as run_training. Where the loss is not finite, the parameters are put back to the copy that
// is made every 20 steps; throws std::runtime_error when that happens 3 times between two copies,
// and BadInput before the first copy. Where a gradient is not finite, the step is skipped. A line
// of metrics holds the means since the last one, grad_norm among them, and the last step's lr.
RunResult run_steps(TrainingRun& run, const StepLoop& loop);

}  // namespace finetune
