#include "diffusion/checkpoints/ldm_config.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

namespace diffusion {
namespace {

using data::has_prefix;
using data::Weights;

constexpr int64_t kHeadChannels = 64;  // of SD2, SDXL and every CLIP
constexpr int64_t kBigGWidth = 1280;   // of OpenCLIP-bigG's projected text

int64_t size_of(const Weights& part, const std::string& name, int64_t axis) {
  const auto found = part.tensors.find(name);
  if (found == part.tensors.end())
    throw data::BadInput(part.source + ": tensor " + name + " (diffusers' name) is missing; " +
                         "the file is not whole");
  if (found->second.dim() <= axis)
    throw data::BadInput(part.source + ": tensor " + name + ": expected more axes, found " +
                         data::shape_text(found->second.sizes()));
  return found->second.size(axis);
}

std::string numbered_key(const std::string& before, int64_t number, const std::string& after) {
  return before + std::to_string(number) + after;
}

std::vector<int64_t> heads_of(const UNetConfig& config,
                              const ModelFamily& family,
                              const LdmHints& hints) {
  std::vector<int64_t> heads;
  const int64_t channels = hints.unet_head_channels > 0 ? hints.unet_head_channels : kHeadChannels;
  const bool by_number = family.unet_heads > 0 && hints.unet_head_channels == 0;
  for (const int64_t width : config.block_out_channels) {
    heads.push_back(hints.unet_heads > 0 ? hints.unet_heads
                    : by_number          ? family.unet_heads
                                         : std::max<int64_t>(1, width / channels));
  }
  return heads;
}

// The levels' widths, layers and attentions.
void read_levels(const Weights& part, UNetConfig& config) {
  const int64_t levels = data::count_numbered(part, "down_blocks.");
  for (auto* list :
       {&config.block_out_channels, &config.layers_per_block, &config.transformer_layers})
    list->clear();
  config.down_attention.clear();
  config.up_attention.clear();
  for (int64_t i = 0; i < levels; ++i) {
    const std::string block = numbered_key("down_blocks.", i, "."),
                      up = numbered_key("up_blocks.", i, ".");
    config.block_out_channels.push_back(size_of(part, block + "resnets.0.conv1.weight", 0));
    config.layers_per_block.push_back(data::count_numbered(part, block + "resnets."));
    config.down_attention.push_back(has_prefix(part, block + "attentions."));
    config.up_attention.push_back(has_prefix(part, up + "attentions."));
    // The middle has as many as the last level.
    const std::string place = config.down_attention.back() ? block
                              : i + 1 == levels            ? "mid_block."
                                                           : "";
    config.transformer_layers.push_back(std::max<int64_t>(
        1, place.empty() ? 0
                         : data::count_numbered(part, place + "attentions.0.transformer_blocks.")));
  }
}

// SDXL's time embedding takes the pooled text and six sizes beside it.
void read_added_conditions(const Weights& part, int64_t pooled_width, UNetConfig& config) {
  if (data::has(part, "time_embedding.cond_proj.weight"))
    config.time_cond_proj_dim = size_of(part, "time_embedding.cond_proj.weight", 1);
  if (!has_prefix(part, "add_embedding.")) return;
  config.projection_class_embeddings_input_dim = size_of(part, "add_embedding.linear_1.weight", 1);
  const int64_t pooled = pooled_width > 0 ? pooled_width : kBigGWidth;
  config.addition_time_embed_dim =
      (config.projection_class_embeddings_input_dim - pooled) / kTimeIds;
}

}  // namespace

UNetConfig unet_config_of(const Weights& part,
                          const ModelFamily& family,
                          const LdmHints& hints,
                          int64_t pooled_width) {
  UNetConfig config;
  read_levels(part, config);
  read_added_conditions(part, pooled_width, config);
  const std::string middle = "mid_block.attentions.0.";
  config.in_channels = size_of(part, "conv_in.weight", 1);
  config.out_channels = size_of(part, "conv_out.weight", 0);
  config.cross_attention_dim = size_of(part, middle + "transformer_blocks.0.attn2.to_k.weight", 1);
  size_of(part, middle + "proj_in.weight", 1);
  config.use_linear_projection = part.tensors.at(middle + "proj_in.weight").dim() == 2;
  config.heads = heads_of(config, family, hints);
  if (hints.unet_groups > 0) config.norm_num_groups = hints.unet_groups;
  set_prediction(config, family, hints);
  check_unet_config(config, part.source);
  return config;
}

void set_prediction(UNetConfig& config, const ModelFamily& family, const LdmHints& hints) {
  const bool v = family.both_predictions && hints.prediction == Prediction::kV;
  config.upcast_attention = v;
  config.sample_size = hints.sample_size > 0 ? hints.sample_size
                       : v                   ? family.v_sample_size
                                             : family.sample_size;
}

double scaling_factor_of(const ModelFamily& family, const LdmHints& hints) {
  return hints.scaling_factor > 0 ? hints.scaling_factor : family.scaling_factor;
}

VaeConfig vae_config_of(const Weights& part, const ModelFamily& family, const LdmHints& hints) {
  VaeConfig config;
  const int64_t levels = data::count_numbered(part, "encoder.down_blocks.");
  config.block_out_channels.clear();
  for (int64_t i = 0; i < levels; ++i) {
    config.block_out_channels.push_back(
        size_of(part, numbered_key("encoder.down_blocks.", i, ".resnets.0.conv1.weight"), 0));
  }
  config.layers_per_block = data::count_numbered(part, "encoder.down_blocks.0.resnets.");
  config.in_channels = size_of(part, "encoder.conv_in.weight", 1);
  config.out_channels = size_of(part, "decoder.conv_out.weight", 0);
  config.latent_channels = size_of(part, "decoder.conv_in.weight", 1);
  config.use_quant_conv = data::has(part, "quant_conv.weight");
  config.use_post_quant_conv = data::has(part, "post_quant_conv.weight");
  config.mid_block_add_attention = has_prefix(part, "encoder.mid_block.attentions.");
  config.scaling_factor = scaling_factor_of(family, hints);
  config.shift_factor = family.shift_factor;
  if (hints.vae_groups > 0) config.norm_num_groups = hints.vae_groups;
  config.sample_size = family.vae_sample_size;
  return config;
}

nn::ClipTextConfig text_config_of(const Weights& part, bool open_clip, int64_t heads) {
  nn::ClipTextConfig config;
  const std::string text = "text_model.", layers = text + "encoder.layers.";
  config.vocab_size = size_of(part, text + "embeddings.token_embedding.weight", 0);
  config.max_position_embeddings = size_of(part, text + "embeddings.position_embedding.weight", 0);
  auto& encoder = config.encoder;
  encoder.hidden_size = size_of(part, text + "embeddings.token_embedding.weight", 1);
  encoder.num_hidden_layers = data::count_numbered(part, layers);
  encoder.intermediate_size = size_of(part, layers + "0.mlp.fc1.weight", 0);
  encoder.num_attention_heads =
      heads > 0 ? heads : std::max<int64_t>(1, encoder.hidden_size / kHeadChannels);
  encoder.hidden_act = open_clip ? nn::Activation::kGelu : nn::Activation::kQuickGelu;
  config.projection_dim = data::has(part, "text_projection.weight")
                              ? size_of(part, "text_projection.weight", 0)
                              : encoder.hidden_size;
  return config;
}

SchedulerConfig scheduler_config_of(const UNetConfig& unet,
                                    const ModelFamily& family,
                                    const LdmHints& hints) {
  SchedulerConfig config;
  config.prediction_type = hints.prediction.value_or(Prediction::kEpsilon);
  const bool lcm = unet.time_cond_proj_dim > 0;
  if (const char* class_name = lcm ? "LCMScheduler" : family.scheduler_class) {
    config.class_name = class_name;
    config.sampler = sampler_of_class(class_name);
    config.timestep_spacing = Spacing::kLeading;
  }
  if (lcm) config.set_alpha_to_one = true;
  if (hints.zero_terminal_snr) {  // Lin et al. 2023: only trailing steps begin at the last timestep
    config.rescale_betas_zero_snr = true;
    config.timestep_spacing = Spacing::kTrailing;
  }
  return config;
}

SchedulerConfig flow_scheduler_of(const ModelFamily& family, bool dynamic_shift) {
  SchedulerConfig config;
  config.class_name = family.scheduler_class;
  config.sampler = sampler_of_class(family.scheduler_class);
  config.prediction_type = Prediction::kFlow;
  config.flow = FlowConfig{.shift = family.flow_shift, .use_dynamic_shifting = dynamic_shift};
  return config;
}

}  // namespace diffusion
