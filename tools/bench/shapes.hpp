#pragma once

// Stages of the full-size networks with random weights, created in memory, so that no checkpoint is
// needed. Only the network of the running stage is in memory.

#include <string>
#include <vector>

#include "tools/bench/measure.hpp"
#include "tools/bench/model_shapes.hpp"

namespace bench {

struct ShapeOptions {
  std::string shape = "sd15";  // see shape_by_name
  int64_t resolution = 0;      // pixels; 0: the shape's own
  int64_t blocks = 0;          // the first ones of a transformer; 0: all
  int64_t update_steps = 1;    // of the trajectories of the PRDP step
  bool gradient_checkpointing = true;
  at::Device device = at::kCPU;
  at::ScalarType compute = at::kFloat;  // of the network's linear layers
};

// What a stage computes and takes in memory, counted on tensors without values.
struct StageForecast {
  std::string name;
  int64_t batch = 1;
  double flops = 0;
  double weights = 0;  // bytes
  double beside = 0;   // bytes of the tensors that it holds at once, as in fp32
};

// "unet" or "transformer": one guided step of one image (a batch of 2; of FLUX.1, whose guidance is
// an input, of 1); "vae": one decode; "decode_gradient": a decode and its gradient; "prdp": one
// optimiser step of a rank-8 LoRA on a pair of trajectories, one at a time, guided where the
// network is a UNet. Throws BadInput for an unknown shape, for a resolution that does not fit it
// and for blocks of a UNet. A stage's make() throws BadInput, naming what would fit, when the
// device has less memory than forecast.
std::vector<StagePlan> make_shape_stages(const ShapeOptions& options);
// The same stages, forecast. The optimiser step's own work, which is small, is left out of "prdp".
std::vector<StageForecast> forecast_shape_stages(const ShapeOptions& options);

// A table of them.
std::string forecast_table(const std::vector<StageForecast>& forecasts);
// {"stages": [{"name", "batch", "flops", "weights_bytes", "beside_bytes"}, ...]}
std::string forecast_json(const std::vector<StageForecast>& forecasts);

}  // namespace bench
