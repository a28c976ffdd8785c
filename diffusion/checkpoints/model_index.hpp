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
};

// What a class of pipeline asks of its parts.
struct ModelClass {
  const char* name;
  bool xl = false;               // two text encoders, a UNet with added conditions
  bool edits = false;            // a UNet that reads a source image
  bool embeds_guidance = false;  // a UNet with time_cond_proj_dim
};
// Throws BadInput naming `source` and the classes that laurel knows.
const ModelClass& model_class(const std::string& class_name, const std::string& source);

// Throws BadInput when the path is no such folder, saying what it is instead and what was expected;
// when the class is unknown; when a part that the class has is not there.
ModelIndex read_model_index(const std::filesystem::path& folder);
void write_model_index(const std::filesystem::path& folder, const ModelIndex& index);

}  // namespace diffusion
