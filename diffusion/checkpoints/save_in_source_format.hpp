#pragma once

// Writes a changed checkpoint in the format that it was read from.

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "data/weights/tensor_map.hpp"
#include "diffusion/naming/part_names.hpp"
#include "diffusion/networks/network.hpp"

namespace diffusion {

// Tensors in diffusers' names, by diffusers' folder: one of kParts.
using PartWeights = std::map<std::string, data::Weights>;

// How the weights' file in such a folder is called, without its ending.
const char* weights_stem(const std::string& part);
// The network's tensors by name (LoRA not included).
data::Weights tensors_of(const Network& network);

// Writes the checkpoint `source` to `target` with new values for the parts that `parts` names. A
// single file (original names) stays one, a .safetensors whatever it was; a diffusers folder stays
// a folder, with the same files, shards and configs. With `dtype` the tensors of these parts get
// it; without, they keep theirs, and every tensor that has not changed, known or not, and the
// metadata keep their bytes. Written under a temporary name; then it takes the place of what was at
// `target`. Throws BadInput when the target is no .safetensors for a single file, and when a part
// has tensors that the source has no place for.
void save_in_source_format(const std::filesystem::path& source,
                           const std::filesystem::path& target,
                           const PartWeights& parts,
                           std::optional<at::ScalarType> dtype = {});
// Throws BadInput when the target is there already, or is no .safetensors for a single file.
void check_new_target(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace diffusion
