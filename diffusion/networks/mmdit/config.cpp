#include "diffusion/networks/mmdit/config.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/config_numbers.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/networks/layers/config_keys.hpp"

using data::BadInput;
using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

constexpr const char* kClass = "SD3Transformer2DModel";
constexpr int64_t kMostLayers = 1024;

const NumberKeys<MMDiTConfig>& mmdit_numbers() {
  static const NumberKeys<MMDiTConfig> keys = {
      {"sample_size", &MMDiTConfig::sample_size},
      {"patch_size", &MMDiTConfig::patch_size},
      {"in_channels", &MMDiTConfig::in_channels},
      {"out_channels", &MMDiTConfig::out_channels},
      {"num_layers", &MMDiTConfig::num_layers},
      {"attention_head_dim", &MMDiTConfig::attention_head_dim},
      {"num_attention_heads", &MMDiTConfig::num_attention_heads},
      {"joint_attention_dim", &MMDiTConfig::joint_attention_dim},
      {"caption_projection_dim", &MMDiTConfig::caption_projection_dim},
      {"pooled_projection_dim", &MMDiTConfig::pooled_projection_dim},
      {"pos_embed_max_size", &MMDiTConfig::pos_embed_max_size}};
  return keys;
}

void read_lists(const json& object, MMDiTConfig& config, const std::string& source) {
  const json dual = object.value("dual_attention_layers", json());
  if (!dual.is_null()) {
    if (!dual.is_array()) refuse_type(source, "dual_attention_layers", dual);
    for (const auto& layer : dual) {
      if (!layer.is_number_integer()) refuse_type(source, "dual_attention_layers", dual);
      config.dual_attention_layers.push_back(layer.get<int64_t>());
    }
  }
  const json norm = object.value("qk_norm", json());
  if (!norm.is_null() && norm != "rms_norm") {
    throw BadInput(source + ": qk_norm: expected rms_norm or null, found " + data::to_text(norm));
  }
  config.qk_norm = !norm.is_null();
}

}  // namespace

int64_t width_of(const MMDiTConfig& config) {
  return config.attention_head_dim * config.num_attention_heads;
}

bool has_dual_attention(const MMDiTConfig& config, int64_t layer) {
  const auto& layers = config.dual_attention_layers;
  return std::find(layers.begin(), layers.end(), layer) != layers.end();
}

MMDiTConfig read_mmdit_config(const fs::path& file) {
  const std::string source = file.string();
  const json object = data::read_json_object(file);
  check_class_name(object, kClass, "Stable Diffusion 3", source);
  data::check_config_numbers(object, source);
  check_known_keys(object, mmdit_numbers(), {"dual_attention_layers", "qk_norm"}, kClass, source);
  MMDiTConfig config;
  read_numbers(object, mmdit_numbers(), config, source);
  if (object.value("out_channels", json()).is_null() && object.contains("out_channels"))
    config.out_channels = config.in_channels;
  read_lists(object, config, source);
  check_mmdit_config(config, source);
  return config;
}

void write_mmdit_config(const fs::path& file, const MMDiTConfig& config) {
  json object = {{"_class_name", kClass},
                 {"_diffusers_version", "0.42.1"},
                 {"dual_attention_layers", config.dual_attention_layers},
                 {"qk_norm", config.qk_norm ? json("rms_norm") : json()}};
  for (const auto& key : mmdit_numbers()) object[key.name] = config.*key.member;
  data::write_file(file, data::to_text(object, 2) + "\n");
}

void check_mmdit_config(const MMDiTConfig& config, const std::string& source) {
  check_positive(config, mmdit_numbers(), source);
  const auto check = [&](bool good, const std::string& key, const std::string& expected,
                         int64_t found) {
    check_number(good, source + ": " + key, expected, found);
  };
  const int64_t width = width_of(config);
  check(config.num_layers <= kMostLayers, "num_layers", "at most " + std::to_string(kMostLayers),
        config.num_layers);
  check(width % 4 == 0, "attention_head_dim",
        "a width (heads times attention_head_dim) that is a multiple of 4", width);
  check(config.caption_projection_dim == width, "caption_projection_dim",
        "num_attention_heads times attention_head_dim = " + std::to_string(width),
        config.caption_projection_dim);
  for (const int64_t layer : config.dual_attention_layers) {
    check(layer >= 0 && layer < config.num_layers, "dual_attention_layers",
          "layers below num_layers = " + std::to_string(config.num_layers), layer);
  }
}

}  // namespace diffusion
