#pragma once

// What a run will cost, from the configuration: operations and memory reckoned on tensors without
// values (step_costs), the time from two real steps of everything that it does.

#include <string>

#include "finetune/policy/config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

struct Forecast {
  double flop = 0;           // the whole run: matrix products, convolutions, attention
  double flop_per_step = 0;  // one guided prediction for one image, without a gradient
  double seconds_draw = 0, seconds_rate = 0, seconds_update = 0,
         seconds_evaluate = 0;  // of the whole run
  double gflops = 0;            // 1e9 operations a second, of the network as measured
  double peak_bytes = 0;        // resident memory at its most
  double trajectory_bytes = 0;  // of it what an epoch's trajectories take
  double disk_bytes = 0;        // checkpoints and trajectories that are kept, exports, images
  double kept_bytes = 0;        // of it the trajectories (save_trajectories)
  int64_t queries = 0;          // images rated for training
  int64_t transitions = 0;      // of the chain, that an epoch draws
  int64_t evaluated = 0;        // images rated by evaluations
  int64_t optimizer_steps = 0, trained_values = 0;
};
Forecast forecast(const TrainingTask& task, const FinetuneConfig& config);

std::string forecast_text(const Forecast& forecast);

}  // namespace finetune
