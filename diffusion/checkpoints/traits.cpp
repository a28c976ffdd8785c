#include "diffusion/checkpoints/traits.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/families/transformer_kinds.hpp"
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

// Of a family that may have T5.
std::string t5_note(const ModelFamily& family, bool there) {
  if (there) return "read";
  return family.t5_alone ? "none: it is needed" : "none: zeros in its rows' place, as diffusers";
}

// The family that model_index.json's class says; nullptr: laurel knows no such class.
const ModelFamily* family_of_class(const std::string& class_name) {
  for (const auto& family : model_families()) {
    for (const auto& one : family.classes) {
      if (one.name == class_name) return &family;
    }
  }
  return nullptr;
}

// The parts that a single file of the family may lack.
std::vector<std::string> missing_of_file(const LdmLayout& layout) {
  std::vector<std::string> missing;
  if (!holds_part(layout, kVaePart)) missing.push_back("VAE (name one with --vae)");
  for (const auto& encoder : layout.family->text_encoders) {
    if (!holds_part(layout, encoder.part)) missing.push_back(encoder.part);
  }
  if (layout.family->t5_alone && layout.t5.empty())
    missing.push_back(layout.family->t5_encoder->part);
  return missing;
}

ModelTraits traits_of_transformer_file(const data::Weights& file, const LdmLayout& layout) {
  const ModelFamily& family = *layout.family;
  const LdmHints hints = read_hints(file);
  const data::Weights part = take_part(file, layout, family.network_part);
  return {.family = family.name,
          .prediction = prediction_name(Prediction::kFlow) + " (the family's rule)",
          .scaling_factor = scaling_factor_of(family, hints),
          .shift_factor = family.shift_factor,
          .upcast_vae = family.vae_overflows,
          .transformer = transformer_kind(family).text_of_part(part, family, hints),
          .text_layer = family.text_layer,
          .t5 = t5_note(family, !layout.t5.empty()),
          .missing = missing_of_file(layout)};
}

// What a folder's transformer/config.json says.
std::string transformer_text(const fs::path& folder, const ModelFamily& family) {
  const fs::path config = folder / family.network_part / "config.json";
  return fs::exists(config) ? transformer_kind(family).text_of_config(config) : "";
}

bool has_part(const fs::path& folder, const std::optional<FamilyEncoder>& encoder) {
  return encoder && fs::is_directory(folder / encoder->part);
}

}  // namespace

ModelTraits traits_of_single_file(const data::Weights& file) {
  const LdmLayout layout = ldm_layout(file);
  if (layout.blocks > 0) return traits_of_transformer_file(file, layout);
  const LdmHints hints = read_hints(file);
  const data::Weights unet = take_part(file, layout, kUnetPart);
  const ModelFamily& family = *layout.family;
  const UNetConfig config = unet_config_of(unet, family, hints, pooled_width(file, layout));
  return {.family = family.name,
          .prediction = prediction_of(family, hints),
          .zero_terminal_snr = hints.zero_terminal_snr,
          .scaling_factor = scaling_factor_of(family, hints),
          .upcast_attention = config.upcast_attention,
          .upcast_vae = family.vae_overflows,
          .embeds_guidance = config.time_cond_proj_dim > 0,
          .edits_images = config.in_channels == 2 * config.out_channels,
          .unet = unet_text(config),
          .text_layer = family.text_layer,
          .missing = missing_of_file(layout)};
}

ModelTraits traits_of_folder(const fs::path& folder) {
  const json unet = config_of(folder / "unet/config.json"),
             vae = config_of(folder / "vae/config.json"),
             scheduler = config_of(folder / "scheduler/scheduler_config.json");
  const json index = config_of(folder / "model_index.json");
  const ModelFamily* named = family_of_class(value_of<std::string>(index, "_class_name", ""));
  const bool transformer = named && named->network_part == std::string(kTransformerPart);
  const ModelFamily& family = transformer ? *named : family_of_folder(unet);
  const int64_t out = value_of<int64_t>(unet, "out_channels", 4);
  ModelTraits traits;
  traits.family = family.name;
  const bool flow = runs_on_flow_alone(value_of<std::string>(scheduler, "_class_name", ""));
  traits.prediction =
      value_of<std::string>(scheduler, "prediction_type",
                            prediction_name(flow ? Prediction::kFlow : Prediction::kEpsilon));
  traits.zero_terminal_snr = value_of(scheduler, "rescale_betas_zero_snr", false);
  traits.scaling_factor = value_of(vae, "scaling_factor", 0.18215);
  traits.shift_factor = value_of(vae, "shift_factor", 0.0);
  if (transformer) traits.transformer = transformer_text(folder, family);
  if (family.t5_encoder) traits.t5 = t5_note(family, has_part(folder, family.t5_encoder));
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
  if (traits.shift_factor != 0)
    details.push_back({"VAE shift factor", data::short_number(traits.shift_factor)});
  if (!traits.unet.empty()) details.push_back({"UNet", traits.unet});
  if (!traits.transformer.empty()) details.push_back({"transformer", traits.transformer});
  if (!traits.text_layer.empty()) details.push_back({"text layer", traits.text_layer});
  if (!traits.t5.empty()) details.push_back({"T5", traits.t5});
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
