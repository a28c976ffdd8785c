#pragma once

// Own images of an epoch, and optimiser steps on them.

#include "finetune/forward/averaged_policy.hpp"
#include "finetune/forward/drawing.hpp"
#include "finetune/forward/gradient.hpp"
#include "finetune/policy/epoch.hpp"

namespace finetune {

struct DrawnEpoch {
  EpochPlan plan;
  RowShard share;       // of the P images
  at::Tensor latents;   // [P, C, h, w] clean, of all, on the CPU
  at::Tensor rewards;   // [P, M] raw, of all
  at::Tensor held_out;  // [P, H] raw, by the guard's rewards
};

// As much of the configuration as plans of epochs read.
FinetuneConfig epoch_config(const ForwardConfig& config);

// Draws and rates the images of an epoch by `network`, each rank its share.
DrawnEpoch draw_epoch(const TrainingTask& task,
                      const ForwardConfig& config,
                      const ForwardDrawing& drawing,
                      const diffusion::Network& network,
                      const EpochPlan& plan,
                      const ProcessGroup& ranks = {});

// The networks of a method's optimiser steps on these prompts. schedule must outlive it.
// `compared`: as the method says; nullptr: it compares with none
ForwardPass make_forward_pass(const TrainingTask& task,
                              const ForwardConfig& config,
                              const diffusion::NoiseSchedule& schedule,
                              const diffusion::Network& network,
                              const diffusion::Network* compared,
                              const std::vector<TrainingPrompt>& prompts,
                              const ProcessGroup& ranks = {});

// The next draws of an optimiser step on these rows: shared within a prompt where the loss couples
// images. prompts: of each row
NoiseDraws next_draws(const ForwardConfig& config,
                      const diffusion::NoiseSchedule& schedule,
                      const std::vector<int64_t>& prompts,
                      at::Generator& generator);

// Figures by the method's names.
MetricValues named_figures(const ForwardMethod& method, const at::Tensor& values);

}  // namespace finetune
