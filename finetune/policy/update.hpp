#pragma once

// An epoch's inner updates: K passes over the trajectories, one optimiser step for each group of
// prompts.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/distributed/row_shard.hpp"
#include "finetune/policy/two_pass_gradient.hpp"
#include "finetune/task/optimizer.hpp"

namespace finetune {

struct UpdateInput {
  Denoiser policy;
  const Trajectories& trajectories;  // those of `share`
  at::Tensor rewards;  // [P] fp64, combined, of all; not finite: the trajectory is left out
  const SamplingPlan& chain;
  double beta = 1;        // per nat
  double clip_range = 1;  // nats
  RowShard share{};       // of the P trajectories
  EpochValues values{};   // of all P, where FinetuneConfig::credit asks for them
  double kl_factor = 1;   // of MethodInput
};

struct UpdateReport {
  std::vector<std::pair<std::string, double>>
      values;  // means over the steps taken: loss, grad_norm, clipfrac, ...
  int64_t steps = 0;
  std::vector<std::string> faults;  // one a step that was skipped
};

// Optimiser steps that an epoch takes.
int64_t updates_per_epoch(const FinetuneConfig& config);

// The trajectories' log_ratio must be that of the policy as it is now. `progress` is told about
// each step. Every rank computes all weights of the objective, from log-ratios of all trajectories,
// and the gradient of its own; the gradients are summed.
UpdateReport update(const UpdateInput& input,
                    const FinetuneConfig& config,
                    Optimizer& optimizer,
                    const std::function<void()>& progress);

// The gradients of parameters, in order, as one vector, 0 where there is none; they are dropped.
// -> [D] fp64 on the CPU
at::Tensor take_gradient(const train::Params& params);

// The gradient of the loss on all trajectories and steps, as the first update of a pass has it: of
// every parameter, in their order, as one vector.  -> [D] fp64 on the CPU. The parameters and
// their own gradients stay as they are, but for gradients that are dropped.
at::Tensor first_gradient(const UpdateInput& input,
                          const FinetuneConfig& config,
                          const train::Params& params);

}  // namespace finetune
