#pragma once

// A CLIP's folder in Hugging Face's layout.

#include <filesystem>

#include "data/weights/tensor_map.hpp"
#include "rewards/clip/model.hpp"

namespace rewards {

// A folder with config.json, model.safetensors and preprocessor_config.json (absent: CLIP's own
// constants). Throws BadInput naming the file and the key or tensor.
Clip load_clip(const std::filesystem::path& folder);
void save_clip(const std::filesystem::path& folder, const Clip& w, at::ScalarType dtype);

// From weights under Hugging Face's names, with the default transform.
Clip take_clip(const data::Weights& weights, const ClipConfig& config);

// Hugging Face's config.json and preprocessor_config.json (absent: CLIP's own constants).
ClipConfig parse_clip_config(const std::filesystem::path& path);
ImageTransform read_clip_transform(const std::filesystem::path& path, int64_t size);

}  // namespace rewards
