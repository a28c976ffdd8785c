#include "diffusion/networks/unet/unet.hpp"

#include <ATen/ATen.h>

#include "data/profile/meta_kernels.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/networks/layers/stored_layers.hpp"
#include "diffusion/networks/unet/stored_unet.hpp"

namespace fs = std::filesystem;

namespace diffusion {
namespace {

struct BlockPlan {
  std::string name;
  std::vector<int64_t> in;  // width that each resnet reads
  int64_t out = 0;
  bool attention = false;
  size_t level = 0;
  std::string resample;  // name of the layer that changes the size, or empty
};

UNetBlock build_block(const LayerSource& source, const UNetConfig& config, const BlockPlan& plan) {
  const BlockSizes sizes{4 * config.block_out_channels[0], config.cross_attention_dim,
                         config.use_linear_projection};
  const TransformerShape shape{plan.out, config.heads[plan.level],
                               config.transformer_layers[plan.level]};
  UNetBlock block;
  for (size_t i = 0; i < plan.in.size(); ++i) {
    const std::string number = "." + std::to_string(i);
    block.resnets.push_back(
        build_resnet(source, plan.name + ".resnets" + number, plan.in[i], plan.out, sizes));
    const bool last_of_mid = plan.name == "mid_block" && i == 1;
    if (!plan.attention || last_of_mid) continue;
    block.attentions.push_back(
        build_transformer(source, plan.name + ".attentions" + number, shape, sizes));
  }
  if (!plan.resample.empty())
    block.resample = source.conv2d(plan.name + plan.resample, plan.out, plan.out, 3);
  return block;
}

constexpr const char* kDownsampler = ".downsamplers.0.conv";
constexpr const char* kUpsampler = ".upsamplers.0.conv";

BlockPlan down_plan(const UNetConfig& config, size_t level) {
  BlockPlan plan;
  plan.name = "down_blocks." + std::to_string(level);
  plan.level = level;
  plan.out = config.block_out_channels[level];
  plan.in.assign(config.layers_per_block[level], plan.out);
  plan.in[0] = config.block_out_channels[level == 0 ? 0 : level - 1];
  plan.attention = config.down_attention[level];
  if (level + 1 < config.block_out_channels.size()) plan.resample = kDownsampler;
  return plan;
}

// Each resnet on the way up reads the one before it beside the output that the way down left at
// this size.
BlockPlan up_plan(const UNetConfig& config, size_t i) {
  const auto& widths = config.block_out_channels;
  const size_t level = widths.size() - 1 - i;
  BlockPlan plan;
  plan.name = "up_blocks." + std::to_string(i);
  plan.level = level;
  plan.out = widths[level];
  const int64_t layers = config.layers_per_block[level] + 1;
  for (int64_t j = 0; j < layers; ++j) {
    const int64_t before = j == 0 ? widths[std::min(level + 1, widths.size() - 1)] : plan.out;
    const int64_t skip = j + 1 == layers && level > 0 ? widths[level - 1] : plan.out;
    plan.in.push_back(before + skip);
  }
  plan.attention = config.up_attention[i];
  if (level > 0) plan.resample = kUpsampler;
  return plan;
}

void build_embeddings(UNet& unet, const LayerSource& source) {
  const UNetConfig& config = unet.config;
  const int64_t in = config.block_out_channels[0], width = 4 * in;
  unet.time_linear_1 = source.linear("time_embedding.linear_1", width, in, true);
  unet.time_linear_2 = source.linear("time_embedding.linear_2", width, width, true);
  if (config.time_cond_proj_dim > 0) {
    unet.time_cond_proj =
        source.linear("time_embedding.cond_proj", in, config.time_cond_proj_dim, false);
  }
  if (config.addition_time_embed_dim == 0) return;
  const int64_t added = config.projection_class_embeddings_input_dim;
  unet.add_linear_1 = source.linear("add_embedding.linear_1", width, added, true);
  unet.add_linear_2 = source.linear("add_embedding.linear_2", width, width, true);
}

UNet build_unet(const UNetConfig& config, const LayerSource& source) {
  const auto& widths = config.block_out_channels;
  UNet unet;
  unet.config = config;
  unet.conv_in = source.conv2d("conv_in", widths[0], config.in_channels, 3);
  build_embeddings(unet, source);
  unet.reward = build_reward_branch(source, config.reward, {widths[0], 4 * widths[0]});
  for (size_t i = 0; i < widths.size(); ++i) {
    unet.down_blocks.push_back(build_block(source, config, down_plan(config, i)));
  }
  const BlockPlan mid{.name = "mid_block",
                      .in = {widths.back(), widths.back()},
                      .out = widths.back(),
                      .attention = true,
                      .level = widths.size() - 1,
                      .resample = ""};
  unet.mid_block = build_block(source, config, mid);
  for (size_t i = 0; i < widths.size(); ++i) {
    unet.up_blocks.push_back(build_block(source, config, up_plan(config, i)));
  }
  unet.conv_norm_out = source.norm("conv_norm_out", widths[0]);
  unet.conv_out = source.conv2d("conv_out", config.out_channels, widths[0], 3);
  return unet;
}

void visit_layers(UNetBlock& block,
                  const std::string& name,
                  const char* resample,
                  const LayerVisitor& visit) {
  for (size_t i = 0; i < block.resnets.size(); ++i) {
    const std::string number = "." + std::to_string(i);
    visit_layers(block.resnets[i], name + ".resnets" + number, visit);
    if (i < block.attentions.size())
      visit_layers(block.attentions[i], name + ".attentions" + number, visit);
  }
  if (block.resample.weight.defined()) visit.conv2d(name + resample, block.resample);
}

void visit_layers(UNet& unet, const std::string& prefix, const LayerVisitor& visit) {
  visit.conv2d(prefix + "conv_in", unet.conv_in);
  visit.linear(prefix + "time_embedding.linear_1", unet.time_linear_1);
  visit.linear(prefix + "time_embedding.linear_2", unet.time_linear_2);
  const auto optional = [&](const char* name, nn::Linear& layer) {
    if (layer.weight.defined()) visit.linear(prefix + name, layer);
  };
  optional("time_embedding.cond_proj", unet.time_cond_proj);
  optional("add_embedding.linear_1", unet.add_linear_1);
  optional("add_embedding.linear_2", unet.add_linear_2);
  for (size_t i = 0; i < unet.down_blocks.size(); ++i) {
    visit_layers(unet.down_blocks[i], prefix + "down_blocks." + std::to_string(i), kDownsampler,
                 visit);
  }
  visit_layers(unet.mid_block, prefix + "mid_block", "", visit);
  for (size_t i = 0; i < unet.up_blocks.size(); ++i) {
    visit_layers(unet.up_blocks[i], prefix + "up_blocks." + std::to_string(i), kUpsampler, visit);
  }
  visit.norm(prefix + "conv_norm_out", unet.conv_norm_out);
  visit.conv2d(prefix + "conv_out", unet.conv_out);
}

UNet from_weights(const data::Weights& weights, const UNetConfig& config, bool as_stored) {
  check_unet_config(config, weights.source);
  std::vector<std::string> used;
  UNet unet = build_unet(
      config, as_stored ? stored_layers(weights, used) : checkpoint_layers(weights, used));
  check_all_used(weights, used);
  return unet;
}

UNet load_as(const fs::path& folder,
             UNet (*read)(const data::Weights& weights, const UNetConfig& config)) {
  UNetConfig config = read_unet_config(folder / "config.json");
  const data::Weights weights = data::read_weights(folder, "diffusion_pytorch_model");
  if (!reads_reward(config.reward)) config.reward = reward_config_of(weights);
  return read(weights, config);
}

}  // namespace

UNet load_unet(const fs::path& folder) { return load_as(folder, unet_from_weights); }

UNet unet_from_weights(const data::Weights& weights, const UNetConfig& config) {
  return from_weights(weights, config, /*as_stored=*/false);
}

UNet load_stored_unet(const fs::path& folder) { return load_as(folder, stored_unet_from_weights); }

UNet stored_unet_from_weights(const data::Weights& weights, const UNetConfig& config) {
  return from_weights(weights, config, /*as_stored=*/!reads_reward(config.reward));
}

void save_unet(const fs::path& folder, UNet& unet, at::ScalarType dtype) {
  write_unet_config(folder / "config.json", unet.config);
  data::write_safetensors(folder / "diffusion_pytorch_model.safetensors",
                          data::collect(unet, "", dtype));
}

UNet make_unet(const UNetConfig& config, at::Generator& generator) {
  check_unet_config(config, "make_unet");
  UNet unet = build_unet(config, random_layers(generator));
  zero_init_outputs(unet.reward);
  return unet;
}

UNet meta_unet(const UNetConfig& config) {
  check_unet_config(config, "meta_unet");
  data::use_meta_kernels();
  return build_unet(config, meta_layers());
}

void for_each_tensor(UNet& unet, const std::string& prefix, const data::TensorVisitor& visit) {
  const auto each = [&](const std::string& name, auto& layer) {
    nn::for_each_tensor(layer, name, visit);
  };
  visit_layers(unet, prefix, {each, each, each});
  visit_layers(unet.reward, prefix, {each, each, each});
}

UNet with_compute_dtype(const UNet& unet, at::ScalarType type) {
  UNet typed = unet;
  const auto convert = [type](const std::string&, auto& layer) {
    layer.weight = layer.weight.to(type);
    if (layer.bias.defined()) layer.bias = layer.bias.to(type);
  };
  for_each_adaptable_layer(typed, {convert, convert});
  return typed;
}

void for_each_adaptable_layer(UNet& unet, const AdaptableLayerVisitor& visit) {
  visit_layers(unet, "", {visit.linear, visit.conv2d, [](const std::string&, nn::Norm&) {}});
}

}  // namespace diffusion
