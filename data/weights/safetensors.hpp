#pragma once

#include <filesystem>

#include "data/weights/tensor_map.hpp"

namespace data {

// Reads a safetensors file. The tensors are views of the file, mapped privately: pages are read
// when touched, and writing to a tensor never changes the file. Throws BadInput when the header is
// truncated, oversized, not JSON, names an impossible shape, or when a tensor's bytes overlap
// another's, leave a gap, or end outside the file. A tensor of a type that is not known here
// becomes its bytes.
Weights read_safetensors(const std::filesystem::path& path);

// Writes contiguous CPU copies in name order, atomically. Same tensors and metadata: same bytes.
void write_safetensors(const std::filesystem::path& path, const Weights& weights);

}  // namespace data
