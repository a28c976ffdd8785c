#pragma once

// An image's settings as ComfyUI keeps them in its PNGs: dropped on ComfyUI, the picture opens as a
// graph of its nodes.

#include <cstdint>
#include <string>
#include <vector>

#include "data/images/formats/png_text.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"
#include "tools/cli/lora_choice.hpp"

namespace tools {

// What all images of a run share.
struct ComfySettings {
  std::string checkpoint;  // "" : no graph is written
  diffusion::SamplerChoice choice{};
  int64_t clip_skip = 0;  // layers left out at the text encoder's end
  std::vector<LoraChoice> loras{};
};
struct ComfyImage {
  std::string prompt, negative_prompt;
  uint64_t seed = 0;
  int64_t steps = 0, width = 0, height = 0;
  double cfg_scale = 0;
  std::vector<LoraChoice> loras{};  // of this image's tags, after the run's
};

// ComfyUI's names of a sampling method and of its spacing of noise; "": it has none.
struct ComfySampler {
  std::string sampler_name, scheduler;
};
ComfySampler comfy_sampler(const diffusion::SamplerChoice& choice);

// The chunks "prompt" (the form of ComfyUI's API) and "workflow" (that of its page); none where
// ComfyUI lacks the sampling method or `settings` names no checkpoint.
data::PngText comfy_chunks(const ComfySettings& settings, const ComfyImage& image);

}  // namespace tools
