#include "diffusion/families/mmdit_shapes.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace diffusion {
namespace {

constexpr int64_t kHeadWidth = 64;  // of every published one

std::string block_name(int64_t layer) {
  return "transformer_blocks." + std::to_string(layer) + ".";
}

// "0-12" of 0, 1, ... 12
std::string layers_text(const std::vector<int64_t>& layers) {
  const bool run = layers.back() - layers.front() + 1 == static_cast<int64_t>(layers.size());
  if (run && layers.size() > 1)
    return std::to_string(layers.front()) + "-" + std::to_string(layers.back());
  std::string text;
  for (const int64_t layer : layers) text += (text.empty() ? "" : ", ") + std::to_string(layer);
  return text;
}

}  // namespace

MMDiTConfig mmdit_config_of(const data::Weights& part,
                            const ModelFamily& family,
                            const LdmHints& hints) {
  MMDiTConfig config;
  const std::string first = block_name(0), patches = "pos_embed.proj.weight";
  const int64_t width = axis_of(part, patches, 0);
  config.in_channels = axis_of(part, patches, 1);
  config.patch_size = axis_of(part, patches, 2);
  config.num_layers = data::count_numbered(part, "transformer_blocks.");
  config.qk_norm = data::has(part, first + "attn.norm_q.weight");
  config.attention_head_dim = config.qk_norm ? axis_of(part, first + "attn.norm_q.weight", 0)
                              : hints.unet_head_channels > 0 ? hints.unet_head_channels
                                                             : kHeadWidth;
  config.num_attention_heads = width / config.attention_head_dim;
  config.caption_projection_dim = width;
  config.joint_attention_dim = axis_of(part, "context_embedder.weight", 1);
  config.pooled_projection_dim = axis_of(part, "time_text_embed.text_embedder.linear_1.weight", 1);
  config.out_channels =
      axis_of(part, "proj_out.weight", 0) / (config.patch_size * config.patch_size);
  const auto places = static_cast<double>(axis_of(part, "pos_embed.pos_embed", 1));
  config.pos_embed_max_size = std::llround(std::sqrt(places));
  config.sample_size = hints.sample_size > 0 ? hints.sample_size : family.sample_size;
  check_mmdit_config(config, part.source);  // before the layers are counted through
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (data::has_prefix(part, block_name(i) + "attn2.")) config.dual_attention_layers.push_back(i);
  }
  return config;
}

std::string mmdit_text(const MMDiTConfig& config) {
  const bool dual = !config.dual_attention_layers.empty();
  const std::string release = dual             ? "3.5 medium"
                              : config.qk_norm ? "3.5 large or large turbo"
                                               : "3 medium";
  return "of " + release + "'s form: " + std::to_string(config.num_layers) + " layers of width " +
         std::to_string(width_of(config)) + ", " + std::to_string(config.num_attention_heads) +
         " heads" + (config.qk_norm ? ", normalised queries and keys" : "") +
         (dual ? ", a second attention in layers " + layers_text(config.dual_attention_layers)
               : "") +
         ", positions of " + std::to_string(config.pos_embed_max_size) + "x" +
         std::to_string(config.pos_embed_max_size) + " patches";
}

const TransformerKind kMMDiTKind = {
    .class_name = "SD3Transformer2DModel",
    .read = [](const data::Weights& part,
               const ModelFamily& family,
               const LdmHints& hints,
               bool streamed) -> Network {
      return mmdit_from_weights(part, mmdit_config_of(part, family, hints), streamed);
    },
    .text_of_part =
        [](const data::Weights& part, const ModelFamily& family, const LdmHints& hints) {
          return mmdit_text(mmdit_config_of(part, family, hints));
        },
    .text_of_config =
        [](const std::filesystem::path& config) { return mmdit_text(read_mmdit_config(config)); }};

}  // namespace diffusion
