#pragma once

// Settings of a single-file checkpoint that the shapes of its tensors do not show: from marker
// tensors, metadata, and a file of the same name beside it.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "data/weights/tensor_map.hpp"
#include "diffusion/sampling/scheduler_config.hpp"

namespace diffusion {

struct LdmHints {
  std::optional<Prediction> prediction;
  std::string prediction_from;  // its source: "the tensor v_pred", "model.yaml"
  bool zero_terminal_snr = false;
  double scaling_factor = 0;  // of the VAE; in this and the rest 0 means unknown
  int64_t unet_heads = 0, unet_head_channels = 0, unet_groups = 0;
  int64_t sample_size = 0;  // latent height and width that the UNet was trained at
  int64_t vae_groups = 0;
  std::map<std::string, int64_t> text_heads{};  // by part: kTextPart, kText2Part
};

// In order of precedence: <stem>.json beside the file (sections "unet", "transformer", "vae",
// "text_encoder", "text_encoder_2", "scheduler" with the keys of diffusers' configs; others are
// ignored, as other programs keep theirs there), <stem>.yaml (the original code's configuration, as
// AUTOMATIC1111 reads it), the tensors v_pred and ztsnr, the metadata modelspec.prediction_type and
// kohya's ss_v_parameterization. Throws BadInput naming file and key when a value there is
// impossible.
LdmHints read_hints(const data::Weights& file);

}  // namespace diffusion
