#pragma once

// A checkpoint as tensors alone, whatever its layout: what merging needs, without its networks.

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "data/weights.hpp"
#include "diffusion/lora_weights.hpp"

namespace diffusion {

struct CheckpointParts {
  std::filesystem::path source;  // a diffusers folder
  // By diffusers' folder name: "unet", "vae", "text_encoder", "text_encoder_2"; as the files hold
  // them.
  std::map<std::string, data::Weights> parts;
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

// A folder with these weights and everything else of `source`; written under a temporary name and
// renamed. `dtype` of all floating-point tensors; nothing: as they are. Throws BadInput when the
// target is there already.
void write_checkpoint_parts(const std::filesystem::path& target,
                            const CheckpointParts& checkpoint,
                            std::optional<at::ScalarType> dtype);

}  // namespace diffusion
