#include "diffusion/networks/flux/config.hpp"

#include <nlohmann/json.hpp>
#include <numeric>

#include "data/base/config_numbers.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/networks/layers/config_keys.hpp"

using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

constexpr const char* kFluxClass = "FluxTransformer2DModel";
constexpr int64_t kMostFluxLayers = 1024;  // of either kind

const NumberKeys<FluxConfig>& flux_numbers() {
  static const NumberKeys<FluxConfig> keys = {
      {"in_channels", &FluxConfig::in_channels},
      {"out_channels", &FluxConfig::out_channels},
      {"num_layers", &FluxConfig::num_layers},
      {"num_single_layers", &FluxConfig::num_single_layers},
      {"attention_head_dim", &FluxConfig::attention_head_dim},
      {"num_attention_heads", &FluxConfig::num_attention_heads},
      {"joint_attention_dim", &FluxConfig::joint_attention_dim},
      {"pooled_projection_dim", &FluxConfig::pooled_projection_dim}};
  return keys;
}

void read_other_keys(const json& object, FluxConfig& config, const std::string& source) {
  const json guidance = object.value("guidance_embeds", json(false));
  if (!guidance.is_boolean()) refuse_type(source, "guidance_embeds", guidance);
  config.guidance_embeds = guidance;
  const json patch = object.value("patch_size", json(1));
  if (patch != 1)
    throw data::BadInput(source + ": patch_size: expected 1, found " + data::to_text(patch));
  const json axes = object.value("axes_dims_rope", json());
  if (axes.is_null()) return;
  if (!axes.is_array()) refuse_type(source, "axes_dims_rope", axes);
  config.axes_dims_rope.clear();
  for (const auto& axis : axes) {
    if (!axis.is_number_integer()) refuse_type(source, "axes_dims_rope", axes);
    config.axes_dims_rope.push_back(axis.get<int64_t>());
  }
}

}  // namespace

int64_t width_of(const FluxConfig& config) {
  return config.attention_head_dim * config.num_attention_heads;
}

FluxConfig read_flux_config(const fs::path& file) {
  const std::string source = file.string();
  const json object = data::read_json_object(file);
  check_class_name(object, kFluxClass, "FLUX.1", source);
  data::check_config_numbers(object, source);
  check_known_keys(object, flux_numbers(), {"patch_size", "guidance_embeds", "axes_dims_rope"},
                   kFluxClass, source);
  FluxConfig config;
  read_numbers(object, flux_numbers(), config, source);
  if (object.value("out_channels", json()).is_null()) config.out_channels = config.in_channels;
  read_other_keys(object, config, source);
  check_flux_config(config, source);
  return config;
}

void write_flux_config(const fs::path& file, const FluxConfig& config) {
  json object = {{"_class_name", kFluxClass},
                 {"_diffusers_version", "0.42.1"},
                 {"patch_size", 1},
                 {"guidance_embeds", config.guidance_embeds},
                 {"axes_dims_rope", config.axes_dims_rope}};
  for (const auto& key : flux_numbers()) object[key.name] = config.*key.member;
  if (config.out_channels == config.in_channels) object["out_channels"] = nullptr;
  data::write_file(file, data::to_text(object, 2) + "\n");
}

void check_flux_config(const FluxConfig& config, const std::string& source) {
  check_positive(config, flux_numbers(), source);
  const auto check = [&](bool good, const std::string& key, const std::string& expected,
                         int64_t found) {
    check_number(good, source + ": " + key, expected, found);
  };
  for (const auto& [key, layers] : {std::pair{"num_layers", config.num_layers},
                                    std::pair{"num_single_layers", config.num_single_layers}})
    check(layers <= kMostFluxLayers, key, "at most " + std::to_string(kMostFluxLayers), layers);
  const int64_t values = kFluxPatch * kFluxPatch;
  check(config.in_channels % values == 0, "in_channels", "a multiple of 4 (2 x 2 latents)",
        config.in_channels);
  check(config.out_channels % values == 0, "out_channels", "a multiple of 4 (2 x 2 latents)",
        config.out_channels);
  const auto& axes = config.axes_dims_rope;
  check(axes.size() == 3, "axes_dims_rope", "3 axes", static_cast<int64_t>(axes.size()));
  for (const int64_t axis : axes)
    check(axis > 0 && axis % 2 == 0, "axes_dims_rope", "even numbers above 0", axis);
  const int64_t sum = std::accumulate(axes.begin(), axes.end(), int64_t{0});
  check(sum == config.attention_head_dim, "axes_dims_rope",
        "a sum of attention_head_dim = " + std::to_string(config.attention_head_dim), sum);
}

}  // namespace diffusion
