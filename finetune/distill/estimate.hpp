#pragma once

// What a distillation will cost, from two real steps and a few images.

#include <string>

#include "finetune/distill/distill.hpp"

namespace finetune {

struct DistillForecast {
  double flop = 0, flop_per_step = 0;
  double seconds_train = 0, seconds_evaluate = 0;  // of the whole run
  double gflops = 0;                               // 1e9 operations a second, of a step as measured
  double peak_bytes = 0;                           // resident memory at its most
  double disk_bytes = 0;                           // checkpoints that are kept, exports, images
  int64_t queries = 0;                             // images rated for training
  int64_t evaluated = 0;                           // and by evaluations
  int64_t trained_values = 0;
};
DistillForecast forecast_distill(const TrainingTask& task,
                                 const EncodedImages& data,
                                 const DistillConfig& config);
std::string forecast_text(const DistillForecast& forecast);

// Throws BadInput where a step's forecast peak is over `limit` bytes, with the batches that would
// fit: steps of one and two latents are taken.
void expect_memory(const TrainingTask& task,
                   const EncodedImages& data,
                   const DistillConfig& config,
                   double limit);

}  // namespace finetune
