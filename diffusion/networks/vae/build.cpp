#include "diffusion/networks/vae/build.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/config_numbers.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/naming/ldm_names.hpp"

namespace diffusion {
namespace {

using data::BadInput;

// Where layers come from: drawn, or taken from a checkpoint by name.
struct VaeLayerSource {
  std::function<nn::Conv2d(const std::string& name, int64_t out, int64_t in, int64_t kernel)> conv;
  std::function<nn::Linear(const std::string& name, int64_t out, int64_t in)> linear;
  std::function<nn::Norm(const std::string& name, int64_t channels)> norm;
};

VaeLayerSource drawn(at::Generator& generator) {
  return {[&](const std::string&, int64_t out, int64_t in, int64_t k) {
            return nn::make_conv2d(out, in, k, generator);
          },
          [&](const std::string&, int64_t out, int64_t in) {
            return nn::make_linear(out, in, true, generator);
          },
          [](const std::string&, int64_t channels) { return nn::make_norm(channels); }};
}

VaeLayerSource taken(const data::Weights& weights) {
  return {[&](const std::string& name, int64_t out, int64_t in, int64_t k) {
            return nn::take_conv2d(weights, name, out, in, k);
          },
          [&](const std::string& name, int64_t out, int64_t in) {
            return nn::take_linear(weights, name, out, in);
          },
          [&](const std::string& name, int64_t channels) {
            return nn::take_norm(weights, name, channels);
          }};
}

VaeResnet build_resnet(const VaeLayerSource& from,
                       const std::string& name,
                       int64_t out,
                       int64_t in) {
  VaeResnet w;
  w.norm1 = from.norm(name + ".norm1", in);
  w.conv1 = from.conv(name + ".conv1", out, in, 3);
  w.norm2 = from.norm(name + ".norm2", out);
  w.conv2 = from.conv(name + ".conv2", out, out, 3);
  if (in != out) w.conv_shortcut = from.conv(name + ".conv_shortcut", out, in, 1);
  return w;
}

VaeMid build_mid(const VaeLayerSource& from,
                 const std::string& name,
                 int64_t channels,
                 bool attention) {
  VaeMid w;
  w.first = build_resnet(from, name + ".resnets.0", channels, channels);
  if (attention) {
    const std::string layer = name + ".attentions.0";
    w.attention = {from.norm(layer + ".group_norm", channels),
                   from.linear(layer + ".to_q", channels, channels),
                   from.linear(layer + ".to_k", channels, channels),
                   from.linear(layer + ".to_v", channels, channels),
                   from.linear(layer + ".to_out.0", channels, channels)};
  }
  w.second = build_resnet(from, name + ".resnets.1", channels, channels);
  return w;
}

// One side. `widths`: the blocks' channels in the order in which they run; `first`: channels that
// enter block 0.
struct Side {
  std::string name, kind;  // "encoder", "down"
  std::vector<int64_t> widths;
  int64_t first, layers;
};

std::vector<VaeBlock> build_blocks(const VaeLayerSource& from, const Side& side) {
  std::vector<VaeBlock> blocks(side.widths.size());
  int64_t in = side.first;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string block = side.name + "." + side.kind + "_blocks." + std::to_string(i);
    for (int64_t j = 0; j < side.layers; ++j) {
      blocks[i].resnets.push_back(
          build_resnet(from, block + ".resnets." + std::to_string(j), side.widths[i], in));
      in = side.widths[i];
    }
    if (i + 1 < blocks.size())
      blocks[i].resample = from.conv(block + "." + side.kind + "samplers.0.conv", in, in, 3);
  }
  return blocks;
}

VaeCoder build_encoder(const VaeLayerSource& from, const VaeConfig& config) {
  const auto& widths = config.block_out_channels;
  VaeCoder w;
  w.conv_in = from.conv("encoder.conv_in", widths.front(), config.in_channels, 3);
  w.blocks =
      build_blocks(from, {"encoder", "down", widths, widths.front(), config.layers_per_block});
  w.mid = build_mid(from, "encoder.mid_block", widths.back(), config.mid_block_add_attention);
  w.conv_norm_out = from.norm("encoder.conv_norm_out", widths.back());
  w.conv_out = from.conv("encoder.conv_out", 2 * config.latent_channels, widths.back(), 3);
  return w;
}

VaeCoder build_decoder(const VaeLayerSource& from, const VaeConfig& config) {
  const std::vector<int64_t> widths(config.block_out_channels.rbegin(),
                                    config.block_out_channels.rend());
  VaeCoder w;
  w.conv_in = from.conv("decoder.conv_in", widths.front(), config.latent_channels, 3);
  w.mid = build_mid(from, "decoder.mid_block", widths.front(), config.mid_block_add_attention);
  w.blocks =
      build_blocks(from, {"decoder", "up", widths, widths.front(), config.layers_per_block + 1});
  w.conv_norm_out = from.norm("decoder.conv_norm_out", widths.back());
  w.conv_out = from.conv("decoder.conv_out", config.out_channels, widths.back(), 3);
  return w;
}

Vae build(const VaeLayerSource& from, const VaeConfig& config) {
  Vae vae;
  vae.config = config;
  vae.encoder = build_encoder(from, config);
  vae.decoder = build_decoder(from, config);
  const int64_t latent = config.latent_channels;
  if (config.use_quant_conv) vae.quant_conv = from.conv("quant_conv", 2 * latent, 2 * latent, 1);
  if (config.use_post_quant_conv)
    vae.post_quant_conv = from.conv("post_quant_conv", latent, latent, 1);
  return vae;
}

void check(const VaeConfig& config, const std::string& where) {
  const auto& widths = config.block_out_channels;
  if (widths.empty() || widths.size() > 8) {
    throw BadInput(where + ": block_out_channels: expected 1 to 8 numbers, found " +
                   std::to_string(widths.size()));
  }
  for (const int64_t width : widths) {
    if (width > 0 && config.norm_num_groups > 0 && width % config.norm_num_groups == 0) continue;
    throw BadInput(where + ": block_out_channels: expected multiples of norm_num_groups " +
                   std::to_string(config.norm_num_groups) + ", found " + std::to_string(width) +
                   "; change either");
  }
  if (std::min({config.in_channels, config.out_channels, config.latent_channels,
                config.layers_per_block}) < 1) {
    throw BadInput(where +
                   ": in_channels, out_channels, latent_channels, layers_per_block: expected >= 1, "
                   "found less");
  }
  if (!(config.scaling_factor > 0)) {
    throw BadInput(where + ": scaling_factor: expected > 0, found " +
                   std::to_string(config.scaling_factor));
  }
}

// What a config may hold beside the keys that are read: settings of other tools (free), and parts
// of the architecture that are built in one form only.
void check_keys(const nlohmann::json& json, const std::string& where) {
  static const std::map<std::string, std::vector<std::string>> forms = {
      {"act_fn", {"silu", "swish"}},
      {"down_block_types", {"DownEncoderBlock2D"}},
      {"up_block_types", {"UpDecoderBlock2D"}}};
  for (const auto& [key, allowed] : forms) {
    if (!json.contains(key)) continue;
    const auto& value = json.at(key);
    for (const auto& form : value.is_array() ? value : nlohmann::json::array({value})) {
      if (form.is_string() && std::count(allowed.begin(), allowed.end(), form.get<std::string>()))
        continue;
      throw BadInput(where + ": " + key + ": expected " + allowed.front() + ", found " +
                     data::to_text(form) + "; this kind of VAE is not supported");
    }
  }
}

constexpr const char* kIdentityClass = "AutoencoderIdentity";

VaeConfig parse_config(const std::filesystem::path& path) {
  VaeConfig config;
  try {
    const auto json = data::read_json_object(path);
    data::check_config_numbers(json, path.string());
    const auto read = [&](const char* key, auto& field) {
      if (json.contains(key) && !json.at(key).is_null()) json.at(key).get_to(field);
    };
    read("in_channels", config.in_channels);
    read("out_channels", config.out_channels);
    read("latent_channels", config.latent_channels);
    read("layers_per_block", config.layers_per_block);
    read("block_out_channels", config.block_out_channels);
    read("norm_num_groups", config.norm_num_groups);
    read("sample_size", config.sample_size);
    read("scaling_factor", config.scaling_factor);
    read("shift_factor", config.shift_factor);
    read("use_quant_conv", config.use_quant_conv);
    read("use_post_quant_conv", config.use_post_quant_conv);
    read("mid_block_add_attention", config.mid_block_add_attention);
    read("force_upcast", config.force_upcast);
    config.identity = json.value("_class_name", "") == kIdentityClass;
    check_keys(json, path.string());
  } catch (const nlohmann::json::exception&) {
    throw BadInput(path.string() +
                   ": expected the config of a diffusers AutoencoderKL, found a value of another "
                   "kind for one of its keys");
  }
  check(config, path.string());
  return config;
}

std::string config_text(const VaeConfig& config) {
  if (config.identity) {
    return data::to_text(nlohmann::ordered_json{{"_class_name", kIdentityClass},
                                                {"block_out_channels", config.block_out_channels},
                                                {"latent_channels", config.latent_channels},
                                                {"norm_num_groups", config.norm_num_groups},
                                                {"sample_size", config.sample_size},
                                                {"scaling_factor", config.scaling_factor}},
                         2) +
           "\n";
  }
  const size_t levels = config.block_out_channels.size();
  const nlohmann::ordered_json json{
      {"_class_name", "AutoencoderKL"},
      {"_diffusers_version", "0.42.1"},
      {"act_fn", "silu"},
      {"block_out_channels", config.block_out_channels},
      {"down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D")},
      {"force_upcast", config.force_upcast},
      {"in_channels", config.in_channels},
      {"latent_channels", config.latent_channels},
      {"layers_per_block", config.layers_per_block},
      {"mid_block_add_attention", config.mid_block_add_attention},
      {"norm_num_groups", config.norm_num_groups},
      {"out_channels", config.out_channels},
      {"sample_size", config.sample_size},
      {"scaling_factor", config.scaling_factor},
      {"shift_factor", config.shift_factor},  // never null: StableDiffusion3Pipeline adds it
      {"up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D")},
      {"use_post_quant_conv", config.use_post_quant_conv},
      {"use_quant_conv", config.use_quant_conv}};
  return data::to_text(json, 2) + "\n";
}

constexpr const char* kConfigFile = "config.json";
constexpr const char* kWeightsStem = "diffusion_pytorch_model";

}  // namespace

Vae identity_vae(int64_t sample_size) {
  Vae vae;
  vae.config.identity = true;
  vae.config.latent_channels = 3;
  vae.config.block_out_channels = {1};
  vae.config.norm_num_groups = 1;
  vae.config.sample_size = sample_size;
  vae.config.scaling_factor = 1;
  return vae;
}

Vae make_vae(const VaeConfig& config, at::Generator& generator) {
  check(config, "vae");
  return build(drawn(generator), config);
}

Vae vae_from_weights(const data::Weights& weights, const VaeConfig& config) {
  check(config, weights.source);
  Vae vae = build(taken(weights), config);
  size_t used = 0;
  for_each_tensor(vae, "", [&](const std::string&, at::Tensor&) { ++used; });
  if (used == weights.tensors.size()) return vae;
  std::map<std::string, at::Tensor> left = weights.tensors;
  for_each_tensor(vae, "", [&](const std::string& name, at::Tensor&) { left.erase(name); });
  throw BadInput(
      weights.source + ": tensor " + left.begin()->first + " and " +
      std::to_string(left.size() - 1) +
      " more have no place in this VAE; the config and the weights do not belong together");
}

Vae load_vae(const std::filesystem::path& folder) {
  const VaeConfig config = parse_config(folder / kConfigFile);
  if (config.identity) {
    Vae vae;
    vae.config = config;
    return vae;
  }
  const data::Weights file = data::read_weights(folder, kWeightsStem);
  data::Weights weights{.tensors = {}, .metadata = {}, .source = file.source};
  for (const auto& [name, tensor] : file.tensors) weights.tensors[current_vae_name(name)] = tensor;
  return vae_from_weights(weights, config);
}

void save_vae(const std::filesystem::path& folder, const Vae& vae, at::ScalarType dtype) {
  if (!vae.config.identity)
    data::write_safetensors(folder / (std::string(kWeightsStem) + ".safetensors"),
                            data::collect(vae, "", dtype));
  data::write_file(folder / kConfigFile, config_text(vae.config));
}

}  // namespace diffusion
