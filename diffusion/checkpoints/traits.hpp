#pragma once

// What decides how a whole model is used, read from a single file or a diffusers folder without
// loading it.

#include <filesystem>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"
#include "diffusion/families/identify.hpp"

namespace diffusion {

struct ModelTraits {
  std::string family{};      // "SDXL"
  std::string prediction{};  // "v_prediction", and where that is from
  bool zero_terminal_snr = false;
  double scaling_factor = 0;      // of the VAE; 0: not known
  double shift_factor = 0;        // of the VAE
  bool upcast_attention = false;  // Stable Diffusion 2.1's overflows in fp16
  bool upcast_vae = false;        // SDXL's first VAE overflows in fp16
  bool embeds_guidance = false;   // an LCM
  bool edits_images = false;      // InstructPix2Pix
  std::string unet{};             // of a single file: what its shapes show
  std::string transformer{};      // of Stable Diffusion 3: what its shapes or config show
  std::string text_layer{};       // which layer of the text encoder is read
  std::string t5{};               // whether it has T5
  std::vector<std::string> missing{};
};

// Throws BadInput when `file` is no checkpoint of a known family.
ModelTraits traits_of_single_file(const data::Weights& file);
// Throws BadInput when model_index.json or a config is not JSON.
ModelTraits traits_of_folder(const std::filesystem::path& folder);

std::vector<Detail> details_of(const ModelTraits& traits);

}  // namespace diffusion
