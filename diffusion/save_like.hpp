#pragma once

// A changed checkpoint written in the form that it was read from.

#include <filesystem>

#include "data/weights.hpp"
#include "diffusion/unet.hpp"

namespace diffusion {

// New values in diffusers' names. A part without tensors stays as it is.
struct ChangedParts {
  data::Weights unet{}, vae{}, text_encoder{}, text_encoder_2{};
};
// The UNet's tensors by name (LoRA not included).
data::Weights tensors_of(const UNet& unet);

// Writes the checkpoint `source` to `target` with changed parts. A single file (original names)
// stays one, a .safetensors whatever it was; a diffusers folder stays a folder, with the same
// files, shards and configs. A changed tensor keeps its dtype; every other tensor, known or not,
// and the metadata keep their bytes. Throws BadInput when a part has tensors that the source has no
// place for.
void save_like(const std::filesystem::path& source,
               const std::filesystem::path& target,
               const ChangedParts& parts);

}  // namespace diffusion
