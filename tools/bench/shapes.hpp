#pragma once

// Stages of the full-size networks with random weights, created in memory, so that no checkpoint is
// needed. Only the network of the running stage is in memory.

#include <string>
#include <vector>

#include "tools/bench/measure.hpp"

namespace bench {

struct ShapeOptions {
  std::string shape = "sd15";  // see shape_by_name
  int64_t resolution = 512;    // pixels
  int64_t update_steps = 1;    // of the trajectories of the PRDP step
  bool gradient_checkpointing = true;
  at::Device device = at::kCPU;
};

// "unet": one guided step of one image (a batch of 2); "vae": one decode; "prdp": one optimiser
// step of a rank-8 LoRA on a pair of trajectories, one at a time. Throws BadInput for an unknown
// shape and for a resolution that does not fit it.
std::vector<StagePlan> make_shape_stages(const ShapeOptions& options);

}  // namespace bench
