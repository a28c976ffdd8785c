#include "diffusion/networks/unet/config.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/config_numbers.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

using data::BadInput;
using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

// Keys whose part of the network is not built, with the values at which that part is absent. null
// always is.
const json& neutral_values() {
  static const json values = {
      {"act_fn", {"silu", "swish"}},
      {"addition_embed_type", {"text_time"}},
      {"attention_type", {"default"}},
      {"center_input_sample", {false}},
      {"class_embed_type", json::array()},
      {"class_embeddings_concat", {false}},
      {"conv_in_kernel", {3}},
      {"conv_out_kernel", {3}},
      {"cross_attention_norm", json::array()},
      {"downsample_padding", {1}},
      {"dropout", {0}},
      {"dual_cross_attention", {false}},
      {"encoder_hid_dim", json::array()},
      {"encoder_hid_dim_type", json::array()},
      {"mid_block_only_cross_attention", {false}},
      {"mid_block_scale_factor", {1}},
      {"mid_block_type", {"UNetMidBlock2DCrossAttn"}},
      {"num_attention_heads", json::array()},
      {"num_class_embeds", json::array()},
      {"only_cross_attention", {false}},
      {"resnet_out_scale_factor", {1}},
      {"resnet_skip_time_act", {false}},
      {"resnet_time_scale_shift", {"default"}},
      {"reverse_transformer_layers_per_block", json::array()},
      {"time_embedding_act_fn", json::array()},
      {"time_embedding_dim", json::array()},
      {"time_embedding_type", {"positional"}},
      {"timestep_post_act", json::array()},
  };
  return values;
}

const std::vector<std::string> kRead = {"sample_size",
                                        "in_channels",
                                        "out_channels",
                                        "down_block_types",
                                        "up_block_types",
                                        "block_out_channels",
                                        "layers_per_block",
                                        "transformer_layers_per_block",
                                        "norm_num_groups",
                                        "cross_attention_dim",
                                        "norm_eps",
                                        "use_linear_projection",
                                        "flip_sin_to_cos",
                                        "attention_head_dim",
                                        "freq_shift",
                                        "upcast_attention",
                                        "addition_embed_type_num_heads",
                                        "addition_time_embed_dim",
                                        "projection_class_embeddings_input_dim",
                                        "time_cond_proj_dim",
                                        "reward_condition"};

void check_keys(const json& object, const std::string& source) {
  for (const auto& [key, value] : object.items()) {
    if (key.starts_with("_") || value.is_null() || std::count(kRead.begin(), kRead.end(), key))
      continue;
    const auto neutral = neutral_values().find(key);
    if (neutral == neutral_values().end()) {
      throw BadInput(source + ": " + key +
                     ": not a key of UNet2DConditionModel that laurel knows; found " +
                     data::to_text(value) + "; remove it if the network works without it");
    }
    if (std::count(neutral->begin(), neutral->end(), value)) continue;
    throw BadInput(
        source + ": " + key + " = " + data::to_text(value) + " is not supported; expected " +
        (neutral->empty() ? "null" : data::to_text(neutral->at(0))) + ", as in Stable Diffusion");
  }
}

template <class T>
void read(const json& object, const char* key, T& value, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  try {
    value = found->get<T>();
  } catch (const json::exception&) {
    throw BadInput(source + ": " + key + ": found " + data::to_text(*found) +
                   ", which is not of the expected type");
  }
}

// One entry a level, from a list or from one number for all.
void read_levels(const json& object,
                 const char* key,
                 std::vector<int64_t>& value,
                 const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return read(object, key, value, source);
  std::fill(value.begin(), value.end(), found->get<int64_t>());
}

void read_blocks(const json& object,
                 const std::string& side,
                 std::vector<bool>& attention,
                 const std::string& source) {
  const std::string key = side == "Down" ? "down_block_types" : "up_block_types";
  std::vector<std::string> types;
  read(object, key.c_str(), types, source);
  if (types.empty()) return;
  attention.clear();
  for (const auto& type : types) {
    if (type != side + "Block2D" && type != "CrossAttn" + side + "Block2D") {
      throw BadInput(source + ": " + key + ": " + type + " is not supported; expected " + side +
                     "Block2D or CrossAttn" + side + "Block2D");
    }
    attention.push_back(type.starts_with("CrossAttn"));
  }
}

std::vector<std::string> block_types(const std::vector<bool>& attention, const std::string& side) {
  std::vector<std::string> types;
  for (const bool cross : attention) types.push_back((cross ? "CrossAttn" : "") + side + "Block2D");
  return types;
}

json read_unet_object(const fs::path& file) {
  json object = data::read_json_object(file);
  const auto name = object.value("_class_name", json("UNet2DConditionModel"));
  if (name != "UNet2DConditionModel") {
    throw BadInput(file.string() + ": _class_name: expected UNet2DConditionModel, found " +
                   data::to_text(name) +
                   "; point to the unet folder of a Stable Diffusion checkpoint");
  }
  data::check_config_numbers(object, file.string());
  return object;
}

// The three keys of SDXL's added conditions stand together.
void read_added_conditions(const json& object, UNetConfig& config, const std::string& source) {
  read(object, "addition_time_embed_dim", config.addition_time_embed_dim, source);
  read(object, "projection_class_embeddings_input_dim",
       config.projection_class_embeddings_input_dim, source);
  const bool named = !object.value("addition_embed_type", json()).is_null();
  if (named == (config.addition_time_embed_dim > 0)) return;
  throw BadInput(source + ": addition_embed_type: expected text_time together with " +
                 "addition_time_embed_dim, as in Stable Diffusion XL; found one of the two");
}

void check_positive(const std::vector<int64_t>& values,
                    const std::string& key,
                    const std::string& source) {
  for (const int64_t value : values) {
    if (value < 1)
      throw BadInput(source + ": " + key + ": expected at least 1, found " + std::to_string(value));
  }
}

void check_multiple(int64_t width, int64_t of, const std::string& key, const std::string& source) {
  if (width % of == 0) return;
  throw BadInput(source + ": block_out_channels: " + std::to_string(width) + " is no multiple of " +
                 key + " = " + std::to_string(of));
}

void check_added_conditions(const UNetConfig& config, const std::string& source) {
  const int64_t guidance = config.time_cond_proj_dim;
  if (guidance != 0 && (guidance < 4 || guidance % 2 != 0)) {
    throw BadInput(source + ": time_cond_proj_dim: expected an even number of at least 4, found " +
                   std::to_string(guidance));
  }
  const int64_t sizes = kTimeIds * config.addition_time_embed_dim;
  if (sizes == 0 && config.projection_class_embeddings_input_dim == 0) return;
  if (sizes > 0 && config.projection_class_embeddings_input_dim > sizes) return;
  throw BadInput(source + ": projection_class_embeddings_input_dim: expected more than " +
                 std::to_string(kTimeIds) +
                 " x addition_time_embed_dim = " + std::to_string(sizes) + ", found " +
                 std::to_string(config.projection_class_embeddings_input_dim));
}

}  // namespace

bool reads_image(const UNetConfig& config) { return config.in_channels == 2 * config.out_channels; }

UNetConfig read_unet_config(const fs::path& file) {
  const std::string source = file.string();
  const json object = read_unet_object(file);
  check_keys(object, source);
  UNetConfig config;
  config.cross_attention_dim = 1280;  // diffusers' default where the key is absent
  read_blocks(object, "Down", config.down_attention, source);
  read_blocks(object, "Up", config.up_attention, source);
  read(object, "block_out_channels", config.block_out_channels, source);
  const size_t levels = config.block_out_channels.size();
  config.layers_per_block.assign(levels, 2);
  config.transformer_layers.assign(levels, 1);
  config.heads.assign(levels, 8);
  read_levels(object, "layers_per_block", config.layers_per_block, source);
  read_levels(object, "transformer_layers_per_block", config.transformer_layers, source);
  read_levels(object, "attention_head_dim", config.heads, source);
  read(object, "sample_size", config.sample_size, source);
  read(object, "in_channels", config.in_channels, source);
  read(object, "out_channels", config.out_channels, source);
  read(object, "cross_attention_dim", config.cross_attention_dim, source);
  read(object, "norm_num_groups", config.norm_num_groups, source);
  read(object, "norm_eps", config.norm_eps, source);
  read(object, "use_linear_projection", config.use_linear_projection, source);
  read(object, "flip_sin_to_cos", config.flip_sin_to_cos, source);
  read(object, "freq_shift", config.freq_shift, source);
  read(object, "upcast_attention", config.upcast_attention, source);
  read(object, "time_cond_proj_dim", config.time_cond_proj_dim, source);
  read_added_conditions(object, config, source);
  config.reward = read_reward_config(object, source);
  check_unet_config(config, source);
  return config;
}

void write_unet_config(const fs::path& file, const UNetConfig& config) {
  json object = {
      {"_class_name", "UNet2DConditionModel"},
      {"_diffusers_version", "0.42.1"},
      {"act_fn", "silu"},
      {"attention_head_dim", config.heads},
      {"block_out_channels", config.block_out_channels},
      {"center_input_sample", false},
      {"cross_attention_dim", config.cross_attention_dim},
      {"down_block_types", block_types(config.down_attention, "Down")},
      {"downsample_padding", 1},
      {"flip_sin_to_cos", config.flip_sin_to_cos},
      {"freq_shift", config.freq_shift},
      {"in_channels", config.in_channels},
      {"layers_per_block", config.layers_per_block},
      {"mid_block_scale_factor", 1},
      {"mid_block_type", "UNetMidBlock2DCrossAttn"},
      {"norm_eps", config.norm_eps},
      {"norm_num_groups", config.norm_num_groups},
      {"out_channels", config.out_channels},
      {"sample_size", config.sample_size},
      {"transformer_layers_per_block", config.transformer_layers},
      {"up_block_types", block_types(config.up_attention, "Up")},
      {"upcast_attention", config.upcast_attention},
      {"use_linear_projection", config.use_linear_projection},
  };
  if (config.time_cond_proj_dim > 0) object["time_cond_proj_dim"] = config.time_cond_proj_dim;
  if (reads_reward(config.reward)) object["reward_condition"] = reward_config_json(config.reward);
  if (config.addition_time_embed_dim > 0) {
    object["addition_embed_type"] = "text_time";
    object["addition_time_embed_dim"] = config.addition_time_embed_dim;
    object["projection_class_embeddings_input_dim"] = config.projection_class_embeddings_input_dim;
  }
  data::write_file(file, data::to_text(object, 2) + "\n");
}

void check_unet_config(const UNetConfig& config, const std::string& source) {
  const size_t levels = config.block_out_channels.size();
  if (levels == 0) {
    throw BadInput(source + ": block_out_channels: expected one width a level, found none");
  }
  const auto check_levels = [&](size_t found, const char* key) {
    if (found == levels) return;
    throw BadInput(source + ": " + key + ": expected " + std::to_string(levels) +
                   " entries, as block_out_channels has, found " + std::to_string(found));
  };
  check_levels(config.down_attention.size(), "down_block_types");
  check_levels(config.up_attention.size(), "up_block_types");
  check_levels(config.layers_per_block.size(), "layers_per_block");
  check_levels(config.transformer_layers.size(), "transformer_layers_per_block");
  check_levels(config.heads.size(), "attention_head_dim");
  check_positive({config.in_channels}, "in_channels", source);
  check_positive({config.out_channels}, "out_channels", source);
  check_positive({config.cross_attention_dim}, "cross_attention_dim", source);
  check_positive({config.norm_num_groups}, "norm_num_groups", source);
  check_positive(config.block_out_channels, "block_out_channels", source);
  check_positive(config.layers_per_block, "layers_per_block", source);
  check_positive(config.transformer_layers, "transformer_layers_per_block", source);
  check_positive(config.heads, "attention_head_dim", source);
  check_added_conditions(config, source);
  if (reads_reward(config.reward) && !reads_image(config)) {
    throw BadInput(source + ": reward_condition: expected in_channels = 2 x out_channels, as an " +
                   "editing model has, found " + std::to_string(config.in_channels) + " and " +
                   std::to_string(config.out_channels));
  }
  check_reward_config(config.reward, config.block_out_channels[0], source);
  for (size_t i = 0; i < levels; ++i) {
    check_multiple(config.block_out_channels[i], config.norm_num_groups, "norm_num_groups", source);
    check_multiple(config.block_out_channels[i], config.heads[i],
                   "attention_head_dim (the number of heads)", source);
  }
}

}  // namespace diffusion
