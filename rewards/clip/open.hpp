#pragma once

// A CLIP from any file of the field: Hugging Face's folder, OpenCLIP's folder or file, OpenAI's
// TorchScript archive, and the exports that put a prefix before every name.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "rewards/clip/model.hpp"

namespace rewards {

struct ClipOpening {
  std::optional<nn::Activation> act;  // overrides a config
  std::function<void(const std::string& line)>
      trace{};  // mapped, missing, unexpected; may be empty
};

struct OpenedClip {
  Clip clip;
  std::string description;       // "OpenCLIP, ViT 1280x32/14, gelu, 3 tensors passed over"
  std::filesystem::path folder;  // of the file, which may hold a tokenizer
};

// A folder (config.json or open_clip_config.json beside weights) or one file of weights. Throws
// BadInput when a tensor of a tower is missing or of another shape, or when neither a config, nor
// `act`, nor the file itself tells the activation.
OpenedClip open_clip_model(const std::filesystem::path& path, const ClipOpening& opening);

}  // namespace rewards
