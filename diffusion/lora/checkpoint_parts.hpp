#pragma once

// A checkpoint as tensors alone, whatever its layout: what merging needs, without its networks.

#include <filesystem>

#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"

namespace diffusion {

struct CheckpointParts {
  std::filesystem::path source;  // a diffusers folder, or a single file
  PartWeights parts;             // in today's names, dtypes as the files hold them
  int64_t layers_per_block = 2;  // of the UNet
};

// Throws BadInput when there is no UNet.
CheckpointParts read_checkpoint_parts(const std::filesystem::path& source);

// Its layers' weights; they point into `checkpoint`.
LoraTarget lora_target(CheckpointParts& checkpoint);

// Every tensor of floating point becomes (1 - weight) a + weight b; with `minus` a + weight (b -
// minus), the difference that a training made to `minus`. In fp32, in the dtype of `a`. Throws
// BadInput naming the first tensor that one of them lacks or has in another shape.
void merge_checkpoints(CheckpointParts& a,
                       const CheckpointParts& b,
                       const CheckpointParts* minus,
                       double weight);

}  // namespace diffusion
