#include "diffusion/families/flux_shapes.hpp"

#include <ATen/core/Tensor.h>

#include "data/base/error.hpp"

namespace diffusion {
namespace {

// The channels of a head that tell the axes: 2, 7 and 7 of 16, even numbers.
std::vector<int64_t> axes_of(int64_t head_width) {
  const int64_t side = head_width * 7 / 32 * 2;
  return {head_width - 2 * side, side, side};
}

void check_reads_noise_alone(const FluxConfig& config, const std::string& source) {
  if (config.in_channels == config.out_channels) return;
  throw data::BadInput(
      source + ": img_in: expected as many columns as final_layer has rows, " +
      std::to_string(config.out_channels) + ", found " + std::to_string(config.in_channels) +
      "; it reads another image beside its own (FLUX.1 Fill 384, Depth and Canny 128, Flex.2 196), "
      "which is not supported; use FLUX.1 dev or schnell");
}

}  // namespace

FluxConfig flux_config_of(const data::Weights& part) {
  FluxConfig config;
  const std::string first = "transformer_blocks.0.";
  const int64_t width = axis_of(part, "x_embedder.weight", 0);
  config.in_channels = axis_of(part, "x_embedder.weight", 1);
  config.out_channels = axis_of(part, "proj_out.weight", 0);
  config.num_layers = data::count_numbered(part, "transformer_blocks.");
  config.num_single_layers = data::count_numbered(part, "single_transformer_blocks.");
  config.attention_head_dim = axis_of(part, first + "attn.norm_q.weight", 0);
  config.num_attention_heads = width / config.attention_head_dim;
  config.joint_attention_dim = axis_of(part, "context_embedder.weight", 1);
  config.pooled_projection_dim = axis_of(part, "time_text_embed.text_embedder.linear_1.weight", 1);
  config.guidance_embeds = data::has_prefix(part, "time_text_embed.guidance_embedder.");
  config.axes_dims_rope = axes_of(config.attention_head_dim);
  check_reads_noise_alone(config, part.source);
  check_flux_config(config, part.source);
  return config;
}

std::string flux_text(const FluxConfig& config) {
  return std::string("of ") + (config.guidance_embeds ? "dev" : "schnell") +
         "'s form: " + std::to_string(config.num_layers) + " + " +
         std::to_string(config.num_single_layers) + " layers of width " +
         std::to_string(width_of(config)) + ", " + std::to_string(config.num_attention_heads) +
         " heads, " +
         (config.guidance_embeds ? "the guidance is an input" : "no input of guidance");
}

const TransformerKind kFluxKind = {
    .class_name = "FluxTransformer2DModel",
    .read = [](const data::Weights& part, const ModelFamily&, const LdmHints&, bool streamed)
        -> Network { return flux_from_weights(part, flux_config_of(part), streamed); },
    .text_of_part = [](const data::Weights& part,
                       const ModelFamily&,
                       const LdmHints&) { return flux_text(flux_config_of(part)); },
    .text_of_config =
        [](const std::filesystem::path& config) { return flux_text(read_flux_config(config)); }};

}  // namespace diffusion
