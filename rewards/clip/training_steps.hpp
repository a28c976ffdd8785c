#pragma once

// The loop that CLIP trainings share: updates, now and then a validation and a line of progress.

#include <functional>
#include <string>

#include "data/train/training_loop.hpp"

namespace rewards {

// One update of a CLIP's training.
struct StepMetrics {
  double loss = 0;
  double accuracy = 0;  // fraction of the batch's comparisons that are right
  double grad_norm = 0;
  double learning_rate = 0;
};

struct TrainingSteps {
  std::function<StepMetrics()> update;
  std::function<std::string()> validate;                          // -> a piece of the next line
  std::function<std::string(const StepMetrics& metrics)> report;  // -> a line, of the last update
};

// Runs loop.max_train_steps updates; `print` gets each report with the validations since the last.
void run_steps(train::Loop& loop,
               const TrainingSteps& steps,
               const std::function<void(const std::string&)>& print);

}  // namespace rewards
