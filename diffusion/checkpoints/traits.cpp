#include "diffusion/checkpoints/traits.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

std::string prediction_of(const ModelFamily& family, const LdmHints& hints) {
  if (hints.prediction)
    return prediction_name(*hints.prediction) + " (" + hints.prediction_from + ")";
  if (family.both_predictions)
    return "not in the file; told by the UNet's answer when it is loaded";
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

const ModelFamily& family_of_folder(const json& unet) {
  return family_of_network(value_of<int64_t>(unet, "cross_attention_dim", 0),
                           value_of<std::string>(unet, "addition_embed_type", "") == "text_time",
                           value_of(unet, "use_linear_projection", false));
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
  const LdmLayout layout = ldm_layout(file);
  const LdmHints hints = read_hints(file);
  const data::Weights unet = take_part(file, layout, kUnetPart);
  const ModelFamily& family = *layout.family;
  const UNetConfig config = unet_config_of(unet, family, hints, pooled_width(file, layout));
  ModelTraits traits{.family = family.name,
                     .prediction = prediction_of(family, hints),
                     .zero_terminal_snr = hints.zero_terminal_snr,
                     .scaling_factor = scaling_factor_of(family, hints),
                     .upcast_attention = config.upcast_attention,
                     .upcast_vae = family.vae_overflows,
                     .embeds_guidance = config.time_cond_proj_dim > 0,
                     .edits_images = config.in_channels == 2 * config.out_channels,
                     .unet = unet_text(config),
                     .text_layer = family.text_layer,
                     .missing = {}};
  if (layout.vae.empty()) traits.missing.push_back("VAE (name one with --vae)");
  for (size_t i = 0; i < layout.text.size(); ++i) {
    if (layout.text[i].empty()) traits.missing.push_back(family.text_encoders[i].part);
  }
  return traits;
}

ModelTraits traits_of_folder(const fs::path& folder) {
  const json unet = config_of(folder / "unet/config.json"),
             vae = config_of(folder / "vae/config.json"),
             scheduler = config_of(folder / "scheduler/scheduler_config.json");
  const ModelFamily& family = family_of_folder(unet);
  const int64_t out = value_of<int64_t>(unet, "out_channels", 4);
  ModelTraits traits;
  traits.family = family.name;
  const bool flow = runs_on_flow_alone(value_of<std::string>(scheduler, "_class_name", ""));
  traits.prediction =
      value_of<std::string>(scheduler, "prediction_type",
                            prediction_name(flow ? Prediction::kFlow : Prediction::kEpsilon));
  traits.zero_terminal_snr = value_of(scheduler, "rescale_betas_zero_snr", false);
  traits.scaling_factor = value_of(vae, "scaling_factor", 0.18215);
  traits.upcast_attention = value_of(unet, "upcast_attention", false);
  traits.upcast_vae = value_of(vae, "force_upcast", family.vae_overflows);
  traits.embeds_guidance = value_of<int64_t>(unet, "time_cond_proj_dim", 0) > 0;
  traits.edits_images = value_of<int64_t>(unet, "in_channels", 4) == 2 * out;
  traits.text_layer = family.text_layer;
  traits.missing = missing_parts(folder);
  return traits;
}

std::vector<Detail> details_of(const ModelTraits& traits) {
  std::vector<Detail> details{{"family", traits.family}, {"prediction", traits.prediction}};
  details.push_back({"zero terminal SNR", yes_no(traits.zero_terminal_snr)});
  if (traits.scaling_factor > 0)
    details.push_back({"VAE scaling factor", data::short_number(traits.scaling_factor)});
  if (!traits.unet.empty()) details.push_back({"UNet", traits.unet});
  if (!traits.text_layer.empty()) details.push_back({"text layer", traits.text_layer});
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
