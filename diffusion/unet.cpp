#include "diffusion/unet.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/error.hpp"
#include "data/safetensors.hpp"
#include "data/shape.hpp"
#include "data/weight_files.hpp"

namespace fs = std::filesystem;

namespace diffusion {
namespace {

// 1. Structure.

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

UNet build_unet(const UNetConfig& config, const LayerSource& source) {
  const auto& widths = config.block_out_channels;
  UNet unet;
  unet.config = config;
  unet.conv_in = source.conv2d("conv_in", widths[0], config.in_channels, 3);
  unet.time_linear_1 = source.linear("time_embedding.linear_1", 4 * widths[0], widths[0], true);
  unet.time_linear_2 = source.linear("time_embedding.linear_2", 4 * widths[0], 4 * widths[0], true);
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

// `used` collects the names that were taken.
LayerSource checkpoint_source(const data::Weights& weights, std::vector<std::string>& used) {
  const auto take = [&](const std::string& name) { used.push_back(name); };
  LayerSource source;
  source.linear = [&weights, take](const std::string& name, int64_t out, int64_t in, bool bias) {
    take(name + ".weight");
    if (bias) take(name + ".bias");
    nn::Linear w{data::take(weights, name + ".weight", {out, in}), {}, {}};
    if (bias) w.bias = data::take(weights, name + ".bias", {out});
    return w;
  };
  source.conv2d = [&weights, take](const std::string& name, int64_t out, int64_t in,
                                   int64_t kernel) {
    take(name + ".weight");
    take(name + ".bias");
    return nn::Conv2d{data::take(weights, name + ".weight", {out, in, kernel, kernel}),
                      data::take(weights, name + ".bias", {out}),
                      {}};
  };
  source.norm = [&weights, take](const std::string& name, int64_t channels) {
    take(name + ".weight");
    take(name + ".bias");
    return nn::take_norm(weights, name, channels);
  };
  return source;
}

void check_all_used(const data::Weights& weights, std::vector<std::string> used) {
  std::sort(used.begin(), used.end());
  for (const auto& [name, tensor] : weights.tensors) {
    if (std::binary_search(used.begin(), used.end(), name)) continue;
    throw data::BadInput(weights.source + ": tensor " + name +
                         " is not part of the network that config.json describes (" +
                         std::to_string(weights.tensors.size() - used.size()) +
                         " left over); the config and the weights do not belong together");
  }
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

// 2. Forward.

// What one pass through the network carries along.
struct Pass {
  at::Tensor time;  // [B, time_width], after SiLU
  const KeyValue* next_key;
  NormOptions norm;
  std::vector<at::Tensor> skips;
};

at::Tensor layer_forward(const UNetBlock& block, size_t i, at::Tensor x, Pass& pass) {
  x = resnet_forward(block.resnets[i], x, pass.time, pass.norm);
  if (i >= block.attentions.size()) return x;
  x = transformer_forward(block.attentions[i], x, pass.next_key, pass.norm.groups);
  pass.next_key += block.attentions[i].transformer_blocks.size();
  return x;
}

at::Tensor down_forward(const UNetBlock& block, at::Tensor x, Pass& pass) {
  for (size_t i = 0; i < block.resnets.size(); ++i) {
    x = layer_forward(block, i, x, pass);
    pass.skips.push_back(x);
  }
  if (!block.resample.weight.defined()) return x;
  x = nn::conv2d(block.resample, x, 2, 1);
  pass.skips.push_back(x);
  return x;
}

at::Tensor up_forward(const UNetBlock& block, at::Tensor x, Pass& pass) {
  for (size_t i = 0; i < block.resnets.size(); ++i) {
    x = layer_forward(block, i, at::cat({x, pass.skips.back()}, 1), pass);
    pass.skips.pop_back();
  }
  if (!block.resample.weight.defined()) return x;
  const at::Tensor& next = pass.skips.back();  // its size, as an odd one does not double back
  return nn::conv2d(block.resample, at::upsample_nearest2d(x, {next.size(2), next.size(3)}), 1, 1);
}

void for_each_text_attention(const UNet& unet, const std::function<void(const Attention&)>& visit) {
  const auto each = [&](const UNetBlock& block) {
    for (const auto& transformer : block.attentions) {
      for (const auto& w : transformer.transformer_blocks) visit(w.attn2);
    }
  };
  for (const auto& block : unet.down_blocks) each(block);
  each(unet.mid_block);
  for (const auto& block : unet.up_blocks) each(block);
}

size_t count_text_attentions(const UNet& unet) {
  size_t count = 0;
  for_each_text_attention(unet, [&](const Attention&) { ++count; });
  return count;
}

at::Tensor time_forward(const UNet& unet, const at::Tensor& t) {
  const UNetConfig& config = unet.config;
  const at::Tensor waves = timestep_embedding(t, config.block_out_channels[0],
                                              config.flip_sin_to_cos, config.freq_shift);
  return nn::linear(unet.time_linear_2, at::silu(nn::linear(unet.time_linear_1, waves)));
}

}  // namespace

UNet load_unet(const fs::path& folder) {
  const UNetConfig config = read_unet_config(folder / "config.json");
  const data::Weights weights = data::read_weights(folder, "diffusion_pytorch_model");
  std::vector<std::string> used;
  UNet unet = build_unet(config, checkpoint_source(weights, used));
  check_all_used(weights, used);
  return unet;
}

void save_unet(const fs::path& folder, UNet& unet, at::ScalarType dtype) {
  data::Weights weights;
  weights.metadata["format"] = "pt";
  for_each_tensor(unet, "", [&](const std::string& name, at::Tensor& tensor) {
    weights.tensors[name] = tensor.detach().to(dtype);
  });
  write_unet_config(folder / "config.json", unet.config);
  data::write_safetensors(folder / "diffusion_pytorch_model.safetensors", weights);
}

UNet make_unet(const UNetConfig& config, at::Generator& generator) {
  check_unet_config(config, "make_unet");
  LayerSource source;
  source.linear = [&](const std::string&, int64_t out, int64_t in, bool bias) {
    return nn::make_linear(out, in, bias, generator);
  };
  source.conv2d = [&](const std::string&, int64_t out, int64_t in, int64_t kernel) {
    return nn::make_conv2d(out, in, kernel, generator);
  };
  source.norm = [&](const std::string&, int64_t channels) { return nn::make_norm(channels); };
  return build_unet(config, source);
}

ContextKeys context_keys(const UNet& unet, const at::Tensor& context) {
  data::check_shape(context, {-1, -1, unet.config.cross_attention_dim}, "context_keys: context");
  ContextKeys keys;
  for_each_text_attention(
      unet, [&](const Attention& w) { keys.push_back(context_key_value(w, context)); });
  return keys;
}

at::Tensor unet_forward(const UNet& unet,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const at::Tensor& context) {
  data::check_shape(x, {-1, unet.config.in_channels, -1, -1}, "unet_forward: x");
  data::check_shape(context, {x.size(0), -1, unet.config.cross_attention_dim},
                    "unet_forward: context");
  return unet_forward(unet, x, t, context_keys(unet, context));
}

at::Tensor unet_forward(const UNet& unet,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const ContextKeys& keys) {
  data::check_shape(x, {-1, unet.config.in_channels, -1, -1}, "unet_forward: x");
  data::check_shape(t, {x.size(0)}, "unet_forward: t");
  TORCH_CHECK(keys.size() == count_text_attentions(unet),
              "unet_forward: the context keys are of another network");
  Pass pass{.time = at::silu(time_forward(unet, t)),
            .next_key = keys.data(),
            .norm = {unet.config.norm_num_groups, unet.config.norm_eps},
            .skips = {}};
  at::Tensor h = nn::conv2d(unet.conv_in, x, 1, 1);
  pass.skips.push_back(h);
  for (const auto& block : unet.down_blocks) h = down_forward(block, h, pass);
  for (size_t i = 0; i < unet.mid_block.resnets.size(); ++i)
    h = layer_forward(unet.mid_block, i, h, pass);
  for (const auto& block : unet.up_blocks) h = up_forward(block, h, pass);
  h = at::silu(nn::group_norm(unet.conv_norm_out, h, pass.norm.groups, pass.norm.eps));
  return nn::conv2d(unet.conv_out, h, 1, 1);
}

at::Tensor timestep_embedding(const at::Tensor& t,
                              int64_t width,
                              bool flip_sin_to_cos,
                              double freq_shift) {
  const int64_t half = width / 2;
  const at::Tensor k = at::arange(half, at::kFloat);
  const at::Tensor rates =
      at::exp(k * (-std::log(10000.0)) / (static_cast<double>(half) - freq_shift)).to(t.device());
  const at::Tensor angles = t.to(at::kFloat).unsqueeze(1) * rates.unsqueeze(0);  // [B, half]
  return flip_sin_to_cos ? at::cat({angles.cos(), angles.sin()}, 1)
                         : at::cat({angles.sin(), angles.cos()}, 1);
}

void for_each_tensor(UNet& unet, const std::string& prefix, const data::TensorVisitor& visit) {
  const auto each = [&](const std::string& name, auto& layer) {
    nn::for_each_tensor(layer, name, visit);
  };
  visit_layers(unet, prefix, {each, each, each});
}

void for_each_lora(UNet& unet, const LoraVisitor& visit) {
  visit_layers(unet, "", {visit.linear, visit.conv2d, [](const std::string&, nn::Norm&) {}});
}

}  // namespace diffusion
