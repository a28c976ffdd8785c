#pragma once

#include <filesystem>
#include <string>

namespace data {

// The weights file of a part of a diffusers folder: <stem>.safetensors, else
// <stem>.fp16.safetensors. Throws BadInput that says what the folder holds instead (nothing, a
// .bin, an index of shards).
std::filesystem::path find_weights(const std::filesystem::path& folder, const std::string& stem);

}  // namespace data
