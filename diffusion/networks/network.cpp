#include "diffusion/networks/network.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"

namespace diffusion {
namespace {

NetworkTraits traits_of(const UNet& unet) {
  const UNetConfig& config = unet.config;
  const bool xl = config.addition_time_embed_dim > 0;
  return {.in_channels = config.in_channels,
          .out_channels = config.out_channels,
          .sample_size = config.sample_size,
          .context_width = config.cross_attention_dim,
          .pooled_width = xl ? config.projection_class_embeddings_input_dim -
                                   kTimeIds * config.addition_time_embed_dim
                             : 0,
          .reads_time_ids = xl,
          .guidance_width = config.time_cond_proj_dim,
          .edits_images = reads_image(config),
          .reads_reward = reads_reward(config.reward)};
}

NetworkTraits traits_of(const MMDiT& mmdit) {
  const MMDiTConfig& config = mmdit.config;
  return {.in_channels = config.in_channels,
          .out_channels = config.out_channels,
          .sample_size = config.sample_size,
          .patch_size = config.patch_size,
          .most_patches = config.pos_embed_max_size,
          .context_width = config.joint_attention_dim,
          .pooled_width = config.pooled_projection_dim};
}

NetworkTraits traits_of(const Flux& flux) {
  const FluxConfig& config = flux.config;
  const int64_t square = kFluxPatch * kFluxPatch;
  return {.in_channels = config.in_channels / square,
          .out_channels = config.out_channels / square,
          .sample_size = kFluxSampleSize,
          .patch_size = kFluxPatch,
          .context_width = config.joint_attention_dim,
          .pooled_width = config.pooled_projection_dim,
          .guidance = config.guidance_embeds ? std::optional(flux.guidance) : std::nullopt};
}

at::Tensor first_weight(const UNet& unet) { return unet.conv_in.weight; }
at::Tensor first_weight(const MMDiT& mmdit) { return mmdit.patch_projection.weight; }
at::Tensor first_weight(const Flux& flux) { return flux.x_embedder.weight; }

PreparedText text_of(const UNet& unet, const at::Tensor& hidden) {
  return context_keys(unet, hidden);
}
template <class Transformer>
PreparedText text_of(const Transformer& network, const at::Tensor& hidden) {
  return embed_text(network, hidden);
}

ContextKeys rows_of(ContextKeys keys, const at::Tensor& places) {
  for (auto& pair : keys) {
    pair.key = pair.key.index_select(0, places);
    pair.value = pair.value.index_select(0, places);
  }
  return keys;
}
EmbeddedText rows_of(const EmbeddedText& text, const at::Tensor& places) {
  return {text.rows.index_select(0, places)};
}

// What a pass reads beside the text.
struct Inputs {
  const at::Tensor &x, &t;
  const ExtraConditions& extra;
};
at::Tensor run(const UNet& unet, const ContextKeys& keys, const Inputs& in) {
  return unet_forward(unet, in.x, in.t, keys, in.extra);
}
at::Tensor run(const MMDiT& mmdit, const EmbeddedText& text, const Inputs& in) {
  return mmdit_forward(mmdit, in.x, in.t, text, in.extra.text_embeds);
}
at::Tensor run(const Flux& flux, const EmbeddedText& text, const Inputs& in) {
  return flux_forward(flux, in.x, in.t, text, in.extra.text_embeds);
}
template <class One, class Text>
at::Tensor run(const One&, const Text&, const Inputs&) {
  TORCH_CHECK(false, "forward: the text was prepared for a network of another architecture");
}

}  // namespace

NetworkTraits traits(const Network& network) {
  return std::visit([](const auto& one) { return traits_of(one); }, network);
}

const RewardBranchConfig& reward_config(const Network& network) {
  static const RewardBranchConfig none;
  const UNet* unet = std::get_if<UNet>(&network);
  return unet == nullptr ? none : unet->config.reward;
}

at::Device device_of(const Network& network) {
  return std::visit([](const auto& one) { return first_weight(one).device(); }, network);
}

void set_guidance(Network& network, double scale) {
  TORCH_CHECK(traits(network).guidance, "set_guidance: the network is told no scale");
  std::get<Flux>(network).guidance = scale;
}

PreparedText prepare_text(const Network& network, const at::Tensor& hidden) {
  return std::visit([&](const auto& one) { return text_of(one, hidden); }, network);
}

PreparedText select_rows(const PreparedText& text, const at::Tensor& places) {
  return std::visit([&](const auto& one) -> PreparedText { return rows_of(one, places); }, text);
}

at::Tensor forward(const Network& network,
                   const at::Tensor& x,
                   const at::Tensor& t,
                   const PreparedText& text,
                   const ExtraConditions& extra) {
  return std::visit(
      [&](const auto& one, const auto& prepared) {
        return run(one, prepared, {x, t, extra});
      },
      network, text);
}

at::Tensor forward(const Network& network,
                   const at::Tensor& x,
                   const at::Tensor& t,
                   const at::Tensor& hidden,
                   const ExtraConditions& extra) {
  data::check_shape(x, {-1, traits(network).in_channels, -1, -1}, "forward: x");
  data::check_shape(hidden, {x.size(0), -1, traits(network).context_width}, "forward: hidden");
  return forward(network, x, t, prepare_text(network, hidden), extra);
}

void for_each_tensor(Network& network,
                     const std::string& prefix,
                     const data::TensorVisitor& visit) {
  std::visit([&](auto& one) { for_each_tensor(one, prefix, visit); }, network);
}

void for_each_adaptable_layer(Network& network, const AdaptableLayerVisitor& visit) {
  std::visit([&](auto& one) { for_each_adaptable_layer(one, visit); }, network);
}

Network with_compute_dtype(const Network& network, at::ScalarType type) {
  return std::visit([&](const auto& one) -> Network { return with_compute_dtype(one, type); },
                    network);
}

void set_gradient_checkpointing(Network& network, bool on) {
  std::visit([&](auto& one) { one.gradient_checkpointing = on; }, network);
}

UNet& unet_of(Network& network) {
  TORCH_CHECK(std::holds_alternative<UNet>(network), "expected a UNet");
  return std::get<UNet>(network);
}

const UNet& unet_of(const Network& network) {
  TORCH_CHECK(std::holds_alternative<UNet>(network), "expected a UNet");
  return std::get<UNet>(network);
}

}  // namespace diffusion
