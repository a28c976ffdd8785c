#pragma once

// The work of the stages of a shape (tools/bench/shapes.hpp).

#include <vector>

#include "tools/bench/shapes.hpp"

namespace bench {

// A shape at the options' size.
struct SizedShape {
  ModelShape model;
  int64_t side = 0;    // of the latents
  int64_t pixels = 0;  // of the image
};
SizedShape sized_shape(const ShapeOptions& options);

struct ShapeStage {
  const char* name;
  bool of_network;  // else: of the VAE, which is fp32
  // On the meta device "prdp" is its gradient alone: what follows reads values.
  BenchStage (*make)(const SizedShape& shape, const ShapeOptions& options);
};
std::vector<ShapeStage> shape_stages(const ModelShape& shape);

}  // namespace bench
