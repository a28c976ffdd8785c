#pragma once

// The gradient of a forward-process method's loss. Where the loss couples rows, pass 1 computes
// the denoising errors of all without a graph, the objective gives d loss / d error, and pass 2
// accumulates the gradient of their weighted sum, one micro-batch at a time.

#include "finetune/distributed/row_shard.hpp"
#include "finetune/forward/denoising.hpp"
#include "finetune/forward/methods/method.hpp"

namespace finetune {

struct ForwardPass {
  NoiseNetwork network;   // in training
  NoiseNetwork compared;  // what the method compares it with; empty: nothing
  at::Tensor
      compared_errors{};  // [R, S] fp64, where they are known already, in place of `compared`
  at::Tensor weights;     // [num_train_timesteps] fp64, of the scalars at each timestep
  at::Tensor x0_scales;   // [num_train_timesteps] fp64, of x0_error_scales
  const diffusion::NoiseSchedule& schedule;
  at::Device device = at::kCPU;
  int64_t batch = 32;  // noised latents at once
};

// `share`: this rank's of the R rows. Leaves this rank's part of the gradient of the mean over all
// rows and draws in the network's parameters; the whole is the sum over the ranks. -> [F] fp64, the
// method's figures, of all ranks
at::Tensor add_forward_gradient(const ForwardMethod& method,
                                const ForwardPass& pass,
                                const CleanImages& images,
                                const ForwardLabels& labels,
                                const NoiseDraws& draws,
                                const RowShard& share);

// The compared network's errors, weighed, as a method that couples rows sees them. -> [R, S] fp64
// on the CPU, of all ranks
at::Tensor compared_errors(const ForwardPass& pass,
                           const CleanImages& images,
                           const ForwardLabels& labels,
                           const NoiseDraws& draws,
                           const RowShard& share);

}  // namespace finetune
