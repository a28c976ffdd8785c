#include "diffusion/networks/network.hpp"

#include <ATen/ATen.h>

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

}  // namespace

NetworkTraits traits(const Network& network) {
  return std::visit([](const auto& one) { return traits_of(one); }, network);
}

const RewardBranchConfig& reward_config(const Network& network) {
  return unet_of(network).config.reward;
}

at::Device device_of(const Network& network) {
  return std::visit([](const UNet& unet) { return unet.conv_in.weight.device(); }, network);
}

PreparedText prepare_text(const Network& network, const at::Tensor& hidden) {
  return std::visit([&](const UNet& unet) -> PreparedText { return context_keys(unet, hidden); },
                    network);
}

PreparedText select_rows(const PreparedText& text, const at::Tensor& places) {
  ContextKeys keys = std::get<ContextKeys>(text);
  for (auto& pair : keys) {
    pair.key = pair.key.index_select(0, places);
    pair.value = pair.value.index_select(0, places);
  }
  return keys;
}

at::Tensor forward(const Network& network,
                   const at::Tensor& x,
                   const at::Tensor& t,
                   const PreparedText& text,
                   const ExtraConditions& extra) {
  return std::visit([&](const UNet& unet,
                        const ContextKeys& keys) { return unet_forward(unet, x, t, keys, extra); },
                    network, text);
}

at::Tensor forward(const Network& network,
                   const at::Tensor& x,
                   const at::Tensor& t,
                   const at::Tensor& hidden,
                   const ExtraConditions& extra) {
  return std::visit([&](const UNet& unet) { return unet_forward(unet, x, t, hidden, extra); },
                    network);
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
