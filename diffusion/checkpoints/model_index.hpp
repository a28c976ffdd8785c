#pragma once

// model_index.json: which parts a checkpoint's folder has.

#include <filesystem>
#include <string>

namespace diffusion {

struct ModelIndex {
  std::string class_name = "StableDiffusionPipeline";
  std::string scheduler = "DDIMScheduler";
  std::string text_encoder = "CLIPTextModel";  // or CLIPTextModelWithProjection
  bool force_zeros_for_empty_prompt = false;   // SDXL's alone
  bool has_t5 = false;                         // Stable Diffusion 3's text_encoder_3
};

// Throws BadInput when the path is no such folder, saying what it is instead and what was expected;
// when the class is unknown; when a part that the class has is not there.
ModelIndex read_model_index(const std::filesystem::path& folder);
void write_model_index(const std::filesystem::path& folder, const ModelIndex& index);

}  // namespace diffusion
