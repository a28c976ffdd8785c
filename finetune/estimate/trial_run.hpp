#pragma once

// A few real steps of a run, to measure what the whole will cost.

#include <vector>

#include "finetune/policy/epoch.hpp"
#include "finetune/task/optimizer.hpp"

namespace finetune {

struct TrialRun {
  const TrainingTask& task;  // must outlive it
  FinetuneConfig config;
  SamplingPlan chain;  // the first steps of the run's
  diffusion::Network unet;
  Optimizer optimizer;
  EpochPlan plan;  // the first images of the first epoch
  Denoiser policy;
  Denoiser teacher;  // empty: the method imitates nobody
};

struct TrialSize {
  int64_t images = 1;                 // one epoch's at most
  int64_t steps = 1;                  // of the chain
  std::vector<int64_t> latent_shape;  // {C, H, W}
};
TrialRun make_trial_run(const TrainingTask& task,
                        const FinetuneConfig& config,
                        const TrialSize& size);

// The run's phases, at the micro-batches of its configuration.
Trajectories draw(const TrialRun& probe);
void rate(const TrialRun& probe, const Trajectories& drawn);
void add_gradient(const TrialRun& probe, const Trajectories& drawn);  // of every step
void train(TrialRun& probe, const Trajectories& drawn);               // and an optimiser step

}  // namespace finetune
