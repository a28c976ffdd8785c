#pragma once

// What a checkpoint is, inferred from the names and shapes of its tensors and from its metadata.

#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"

namespace diffusion {

struct Detail {
  std::string name, value;  // "cross attention width", "768"
};
struct ModelKind {
  std::string kind;  // "UNet of Stable Diffusion 1, diffusers"; "unknown" when nothing fits
  std::vector<Detail> details;  // in the order of printing
};

// Reads names, shapes, metadata and a LoRA's alphas, no large tensor.
ModelKind identify(const data::Weights& weights);

}  // namespace diffusion
