#pragma once

// The average of the network over epochs that draws the images of some methods.

#include <filesystem>

#include "finetune/run/training_run.hpp"

namespace finetune {

struct AveragedPolicy {
  train::Params params{};  // of the network in training
  train::Ema average{};    // a value for each
  bool braked = false;     // it has followed the guard's brake
};

// Begins as the parameters are.
AveragedPolicy make_averaged(const train::Params& params);
// After epoch n, counted from 1: average <- d average + (1 - d) parameters, d = min(rate n, most).
void follow_epoch(AveragedPolicy& policy, int64_t epoch, double rate, double most);
// Back to the parameters as they are, where those were put back.
void restart_average(AveragedPolicy& policy);

void save_average(const std::filesystem::path& folder, const AveragedPolicy& policy);
// Throws BadInput where the file lacks a parameter.
void load_average(const std::filesystem::path& folder, AveragedPolicy& policy);

}  // namespace finetune
