#pragma once

// model_index.json: which parts a checkpoint's folder has.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace diffusion {

struct ModelIndex {
  std::string class_name = "StableDiffusionPipeline";
  std::string scheduler = "DDIMScheduler";
  std::string text_encoder = "CLIPTextModel";  // or CLIPTextModelWithProjection
  bool force_zeros_for_empty_prompt = false;   // SDXL's alone
  bool has_t5 = false;                         // Stable Diffusion 3's text_encoder_3
  // Rows of zeros in T5's place, where it is absent. In the file `_max_sequence_length`, laurel's
  // own key, which diffusers passes over: 0 of a model that was trained without such rows.
  std::optional<int64_t> max_sequence_length{};
  // The scale that the model was trained for, where the family's default is another. In the file
  // `_guidance_scale`, laurel's own key too: 1 of a model that learnt guided outputs.
  std::optional<double> guidance_scale{};
};

// Throws BadInput when the path is no such folder, saying what it is instead and what was expected;
// when the class is unknown; when a part that the class has is not there.
ModelIndex read_model_index(const std::filesystem::path& folder);
void write_model_index(const std::filesystem::path& folder, const ModelIndex& index);

}  // namespace diffusion
