#pragma once

// Text encoders that stand beside a single file which lacks them, and files that are quantised.

#include <filesystem>

#include "data/weights/tensor_map.hpp"
#include "diffusion/checkpoints/families.hpp"

namespace diffusion {

// The folder <encoder.part> with a config.json beside `file`, or the first of the files
// <encoder.stem>*.safetensors there, by name; empty: neither, or the encoder has no stem.
std::filesystem::path text_beside(const std::filesystem::path& file, const FamilyEncoder& encoder);

// Throws BadInput when the tensors are quantised with scales beside them (scaled fp8, NF4), saying
// which and what to take instead.
void check_not_quantised(const data::Weights& weights);

}  // namespace diffusion
