#pragma once

// A CLIP from any file of the field: Hugging Face's folder, OpenCLIP's folder or file, OpenAI's
// TorchScript archive, and the exports that put a prefix before every name.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"
#include "rewards/clip/model.hpp"

namespace rewards {

enum class ClipLayout {
  kHuggingFace,  // vision_model.embeddings.patch_embedding.weight
  kOpenClip,     // visual.conv1.weight: OpenAI's too
  kCustomText,   // the same with the text tower under "text."
};
const char* name_of(ClipLayout layout);

// The tensors under Hugging Face's names: prefixes stripped ("module.", "model.", "mps.model.",
// "clip."), packed projections split, transposed ones turned, buffers left out. Throws BadInput
// when the names are of no layout above.
struct NamedClip {
  ClipLayout layout = ClipLayout::kHuggingFace;
  data::Weights weights;
  bool from_openai = false;  // the archive carries input_resolution: QuickGELU
};
NamedClip rename_clip(const data::Weights& weights);

// The settings that shapes tell, and heads from a table by width and depth (H/14 has 16 of 80,
// which no shape shows). `act` is what the caller knows.
ClipConfig infer_clip_config(const NamedClip& clip, nn::Activation act);

struct ClipOpening {
  std::optional<nn::Activation> act;  // wins over what a config says
  std::function<void(const std::string& line)>
      trace{};  // mapped, missing, unexpected; may be empty
};

struct OpenedClip {
  Clip clip;
  std::string description;       // "OpenCLIP, ViT 1280x32/14, gelu, 3 tensors passed over"
  std::filesystem::path folder;  // of the file: where a tokenizer may lie
};

// A folder (config.json or open_clip_config.json beside weights) or one file of weights. Throws
// BadInput when a tensor of a tower is missing or of another shape, or when neither a config, nor
// `act`, nor the file itself tells the activation.
OpenedClip open_clip_model(const std::filesystem::path& path, const ClipOpening& opening);
// From weights under Hugging Face's names; its transform is left at the default.
Clip take_clip(const data::Weights& weights, const ClipConfig& config);

// Hugging Face's config.json and preprocessor_config.json (absent: CLIP's own constants).
ClipConfig parse_clip_config(const std::filesystem::path& path);
ImageTransform read_clip_transform(const std::filesystem::path& path, int64_t size);

}  // namespace rewards
