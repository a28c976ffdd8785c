#pragma once

#include <string>

#include "finetune/forward/config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// What a run on own images will cost, from a real micro-batch of images and real optimiser steps on
// some of the rows.
struct OnlineForecast {
  double seconds_draw = 0, seconds_update = 0;  // of an epoch
  double seconds_evaluate = 0;                  // of the whole run
  double seconds = 0;                           // of the whole run
  double peak_bytes = 0;                        // resident memory at its most, so far
  int64_t trained_values = 0, images = 0;       // images: rated for training
};
OnlineForecast forecast_online(const TrainingTask& task, const ForwardConfig& config);
std::string forecast_text(const OnlineForecast& forecast);

// Of one evaluation, from one drawn micro-batch; 0 where nothing is evaluated.
double evaluation_seconds(const TrainingTask& task,
                          const ForwardConfig& config,
                          const diffusion::Network& network);

}  // namespace finetune
