#pragma once

// Parts that stand beside a single file which lacks them.

#include <filesystem>

#include "diffusion/families/families.hpp"

namespace diffusion {

// The folder <encoder.part> with a config.json beside `file`, or the first of the files
// <encoder.stem>*.safetensors there, by name; empty: neither, or the encoder has no stem.
std::filesystem::path text_beside(const std::filesystem::path& file, const FamilyEncoder& encoder);

// The VAE that text_beside looks for in the same way: the folder vae, or <family.vae_stem>*.
FamilyEncoder vae_encoder(const ModelFamily& family);

}  // namespace diffusion
