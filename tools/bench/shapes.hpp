#pragma once

// The full-size networks with random weights, made in memory: what a step of each costs, without a
// checkpoint. A stage holds the network that it runs and no other.

#include <string>
#include <vector>

#include "tools/bench/measure.hpp"

namespace bench {

struct ShapeOptions {
  std::string shape = "sd15";  // as shape_by_name
  int64_t resolution = 512;    // pixels
  int64_t update_steps = 1;    // of the trajectories of the PRDP step
  bool gradient_checkpointing = true;
  at::Device device = at::kCPU;
};

// "unet": one guided step of one image (a batch of 2); "vae": one decode; "prdp": one optimiser
// step of a rank-8 LoRA on a pair of trajectories, one at a time. Throws BadInput for a shape that
// is not known and a resolution that does not fit it.
std::vector<StagePlan> make_shape_stages(const ShapeOptions& options);

}  // namespace bench
