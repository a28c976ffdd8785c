#include "diffusion/checkpoints/traits.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"

using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

std::string text_layer_of(Family family) {
  if (family == Family::kSdxl)
    return "the last but one of both encoders, without the final norm (clip_skip counts from "
           "there)";
  if (family == Family::kSd2) return "the last but one of OpenCLIP-H, then the final norm";
  return "the last, then the final norm (some models are made for clip_skip 1: not in the file)";
}

std::string prediction_of(Family family, const OriginalHints& hints) {
  if (hints.prediction)
    return prediction_name(*hints.prediction) + " (" + hints.prediction_from + ")";
  if (family == Family::kSd2) return "not in the file; told by the UNet's answer when it is loaded";
  return "epsilon (the family's rule)";
}

// A config of a diffusers folder; empty when it is not there.
json config_of(const fs::path& path) {
  return fs::exists(path) ? data::read_json_object(path) : json::object();
}

template <class T>
T value_of(const json& object, const char* key, T otherwise) {
  const auto found = object.find(key);
  if (found == object.end()) return otherwise;
  const bool fits = std::is_same_v<T, bool>   ? found->is_boolean()
                    : std::is_arithmetic_v<T> ? found->is_number()
                                              : found->is_string();
  return fits ? found->template get<T>() : otherwise;
}

Family family_of_folder(const json& unet) {
  if (value_of<std::string>(unet, "addition_embed_type", "") == "text_time") return Family::kSdxl;
  return value_of(unet, "use_linear_projection", false) ? Family::kSd2 : Family::kSd1;
}

// Parts that model_index.json names and the folder lacks.
std::vector<std::string> missing_parts(const fs::path& folder) {
  std::vector<std::string> missing;
  const json index = config_of(folder / "model_index.json");
  for (const auto& [name, value] : index.items()) {
    const bool part = value.is_array() && value.size() == 2 && !value[0].is_null();
    if (part && !fs::is_directory(folder / name)) missing.push_back(name);
  }
  return missing;
}

std::string unet_text(const UNetConfig& config) {
  return "widths " + data::joined(config.block_out_channels, "-") + ", heads " +
         data::joined(config.heads, "-") + ", transformers " +
         data::joined(config.transformer_layers, "-") + ", " +
         (config.use_linear_projection ? "linear" : "1x1") + " projections, text " +
         std::to_string(config.cross_attention_dim);
}

std::string yes_no(bool value) { return value ? "yes" : "no"; }

}  // namespace

ModelTraits traits_of_single_file(const data::Weights& file) {
  const OriginalLayout layout = original_layout(file);
  const OriginalHints hints = read_hints(file);
  const data::Weights unet = take_part(file, layout, Part::kUNet);
  const UNetConfig config = unet_config_of(unet, layout.family, hints, pooled_width(file, layout));
  ModelTraits traits{.family = family_name(layout.family),
                     .prediction = prediction_of(layout.family, hints),
                     .zero_terminal_snr = hints.zero_terminal_snr,
                     .scaling_factor = scaling_factor_of(layout.family, hints),
                     .upcast_attention = config.upcast_attention,
                     .upcast_vae = layout.family == Family::kSdxl,
                     .embeds_guidance = config.time_cond_proj_dim > 0,
                     .edits_images = config.in_channels == 2 * config.out_channels,
                     .unet = unet_text(config),
                     .text_layer = text_layer_of(layout.family),
                     .missing = {}};
  if (layout.vae.empty()) traits.missing.push_back("VAE (name one with --vae)");
  if (layout.text.empty()) traits.missing.push_back("text encoder");
  if (layout.family == Family::kSdxl && layout.text_2.empty())
    traits.missing.push_back("second text encoder");
  return traits;
}

ModelTraits traits_of_folder(const fs::path& folder) {
  const json unet = config_of(folder / "unet/config.json"),
             vae = config_of(folder / "vae/config.json"),
             scheduler = config_of(folder / "scheduler/scheduler_config.json");
  const Family family = family_of_folder(unet);
  const int64_t out = value_of<int64_t>(unet, "out_channels", 4);
  ModelTraits traits;
  traits.family = family_name(family);
  traits.prediction = value_of<std::string>(scheduler, "prediction_type", "epsilon");
  traits.zero_terminal_snr = value_of(scheduler, "rescale_betas_zero_snr", false);
  traits.scaling_factor = value_of(vae, "scaling_factor", 0.18215);
  traits.upcast_attention = value_of(unet, "upcast_attention", false);
  traits.upcast_vae = value_of(vae, "force_upcast", family == Family::kSdxl);
  traits.embeds_guidance = value_of<int64_t>(unet, "time_cond_proj_dim", 0) > 0;
  traits.edits_images = value_of<int64_t>(unet, "in_channels", 4) == 2 * out;
  traits.text_layer = text_layer_of(family);
  traits.missing = missing_parts(folder);
  return traits;
}

std::vector<Detail> details_of(const ModelTraits& traits) {
  std::vector<Detail> details{{"family", traits.family}, {"prediction", traits.prediction}};
  details.push_back({"zero terminal SNR", yes_no(traits.zero_terminal_snr)});
  if (traits.scaling_factor > 0)
    details.push_back({"VAE scaling factor", data::short_number(traits.scaling_factor)});
  if (!traits.unet.empty()) details.push_back({"UNet", traits.unet});
  details.push_back({"text layer", traits.text_layer});
  if (traits.upcast_attention)
    details.push_back(
        {"upcast attention",
         "yes: its scores overflow in fp16 (laurel's attention adds them up in fp32)"});
  if (traits.upcast_vae)
    details.push_back(
        {"upcast VAE", "yes: may overflow in fp16 (laurel computes it in fp32 then)"});
  if (traits.embeds_guidance)
    details.push_back({"guidance", "an input of the UNet (LCM): 4 to 8 steps, one pass a step"});
  if (traits.edits_images) details.push_back({"edits", "a source image (InstructPix2Pix)"});
  for (const auto& part : traits.missing) details.push_back({"missing", part});
  return details;
}

}  // namespace diffusion
