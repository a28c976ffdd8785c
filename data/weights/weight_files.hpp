#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"

namespace data {

// The files that hold the weights of a part of a diffusers folder, the first that there are of:
// <stem>.safetensors, the shards of <stem>.safetensors.index.json, the same two as fp16 and bf16
// variants, torch's .bin likewise (of `stem`, or transformers' pytorch_model for the stem "model"),
// the non_ema variants. Throws
// BadInput when there are none, or a shard is missing.
std::vector<std::filesystem::path> find_weights(const std::filesystem::path& folder,
                                                const std::string& stem);

// The tensors of one file: safetensors or a file of torch.save, told by its first bytes. Throws
// BadInput naming what it is when it is something that stands in the place of such files: ONNX,
// GGUF, Flax, an HTML page, a pointer of Git LFS.
Weights read_weights_file(const std::filesystem::path& path);

// The tensors of find_weights' files. Throws BadInput as find_weights and the readers do, and when
// a tensor stands in two shards or one that the index names in none.
Weights read_weights(const std::filesystem::path& folder, const std::string& stem);

}  // namespace data
