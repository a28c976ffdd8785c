#pragma once

// A few real steps of a run, to measure what the whole will cost.

#include <vector>

#include "finetune/policy/epoch.hpp"
#include "finetune/run/optimizer.hpp"

namespace finetune {

struct Probe {
  const Task& task;  // must outlive it
  FinetuneConfig config;
  Chain chain;  // the first steps of the run's
  diffusion::UNet unet;
  Learner learner;
  EpochPlan plan;  // the first images of the first epoch
  Denoiser policy;
};

struct ProbeSize {
  int64_t images = 1;                 // one epoch's at most
  int64_t steps = 1;                  // of the chain
  std::vector<int64_t> latent_shape;  // {C, H, W}
};
Probe make_probe(const Task& task, const FinetuneConfig& config, const ProbeSize& size);

// The run's phases, at the micro-batches of its configuration.
Trajectories draw(const Probe& probe);
void rate(const Probe& probe, const Trajectories& drawn);
void add_gradient(const Probe& probe, const Trajectories& drawn);  // of every step
void train(Probe& probe, const Trajectories& drawn);               // and an optimiser step

}  // namespace finetune
