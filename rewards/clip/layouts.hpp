#pragma once

// The names under which files store a CLIP's tensors: Hugging Face's, OpenCLIP's, OpenAI's, and
// exports that put a prefix before every name.

#include "data/weights/tensor_map.hpp"
#include "rewards/clip/model.hpp"

namespace rewards {

enum class ClipLayout {
  kHuggingFace,  // vision_model.embeddings.patch_embedding.weight
  kOpenClip,     // visual.conv1.weight, also OpenAI's
  kCustomText,   // the same with the text tower under "text."
};
const char* name_of(ClipLayout layout);

// The tensors under Hugging Face's names: prefixes stripped ("module.", "model.", "mps.model.",
// "clip."), packed projections split, transposed ones transposed back, buffers removed. Throws
// BadInput when the names are of no layout above.
struct NamedClip {
  ClipLayout layout = ClipLayout::kHuggingFace;
  data::Weights weights;
  bool from_openai = false;  // the archive carries input_resolution: QuickGELU
};
NamedClip rename_clip(const data::Weights& weights);

// The settings from the tensors' shapes; the number of heads, which no shape shows, from a table by
// width and depth (H/14 has 16 heads of 80). `act`: the activation.
ClipConfig infer_clip_config(const NamedClip& clip, nn::Activation act);

}  // namespace rewards
