#pragma once

// Training on people's choices between images that are there already.

#include "finetune/forward/choices.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// Each optimiser step takes `choices_per_update` choices, in random order without repetition before
// all were taken. Writes as run_training. Throws BadInput as run_training and make_drawing, and
// when a method that learns from pairs meets single images.
RunResult run_offline(const TrainingTask& task,
                      const ChoiceData& data,
                      const ForwardConfig& config,
                      const RunOptions& options,
                      const Reporter& reporter);

// What the run will cost, from one real step and one drawn micro-batch, and, where they are cached,
// from computing the starting model's errors.
struct OfflineForecast {
  double seconds_cache = 0, seconds_step = 0, seconds_evaluate = 0;
  double seconds = 0;     // of the whole run
  double peak_bytes = 0;  // resident memory at its most, so far
  int64_t trained_values = 0, choices = 0;
};
OfflineForecast forecast_offline(const TrainingTask& task,
                                 const ChoiceData& data,
                                 const ForwardConfig& config);
std::string forecast_text(const OfflineForecast& forecast);

}  // namespace finetune
