#pragma once

// A denoising network of any architecture. Code outside an architecture's folder asks here.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "data/weights/tensor_map.hpp"
#include "diffusion/networks/flux/forward.hpp"
#include "diffusion/networks/mmdit/forward.hpp"
#include "diffusion/networks/unet/forward.hpp"

namespace diffusion {

// A value whose tensors are shared by its copies.
using Network = std::variant<UNet, MMDiT, Flux>;

struct NetworkTraits {
  int64_t in_channels = 0, out_channels = 0;  // of latents
  int64_t sample_size = 0;                    // latent side that it was trained at
  int64_t patch_size = 1;                     // latents of a side that it reads as one
  int64_t most_patches = 0;                   // of a side; 0: any number
  int64_t context_width = 0;                  // of the text's rows
  int64_t pooled_width = 0;     // of the pooled text that it reads beside them; 0: none
  bool reads_time_ids = false;  // image sizes (SDXL)
  int64_t guidance_width = 0;   // of the embedding of the guidance scale; 0: not an input (LCM)
  std::optional<double> guidance{};  // the scale that it is told beside the text (FLUX.1 dev)
  bool edits_images = false;  // reads a source image's latent beside its own (InstructPix2Pix)
  bool reads_reward = false;  // reads the requested reward: see reward_config
};
NetworkTraits traits(const Network& network);
// What a network with reads_reward reads; layout kNone otherwise.
const RewardBranchConfig& reward_config(const Network& network);
at::Device device_of(const Network& network);

// Sets the scale that a network with traits().guidance is told. Throws c10::Error for another.
void set_guidance(Network& network, double scale);

// What depends on the text and the weights alone, so that a sampler computes it once; in training
// it is computed again when the weights or adapters have changed. Rows: of the text.
using PreparedText = std::variant<ContextKeys, EmbeddedText>;
// hidden: [B, L, context_width]
PreparedText prepare_text(const Network& network, const at::Tensor& hidden);
// The rows at `places`, [R] int64 on the device -> R rows
PreparedText select_rows(const PreparedText& text, const at::Tensor& places);

// The network's output, whatever it predicts (epsilon, v, x0, velocity). x: [B, in_channels, H, W],
// H and W multiples of patch_size; t: [B], any number type, 0 .. 999 or 0 .. 1000 of a velocity;
// hidden: [B, L, context_width]; extra.text_embeds: [B, pooled_width] -> [B, out_channels, H, W]
at::Tensor forward(const Network& network,
                   const at::Tensor& x,
                   const at::Tensor& t,
                   const PreparedText& text,
                   const ExtraConditions& extra = {});
at::Tensor forward(const Network& network,
                   const at::Tensor& x,
                   const at::Tensor& t,
                   const at::Tensor& hidden,
                   const ExtraConditions& extra = {});

void for_each_tensor(Network& network, const std::string& prefix, const data::TensorVisitor& visit);
void for_each_adaptable_layer(Network& network, const AdaptableLayerVisitor& visit);
// As of a UNet (networks/unet/forward.hpp).
Network with_compute_dtype(const Network& network, at::ScalarType type);
void set_gradient_checkpointing(Network& network, bool on);

// The UNet, for what only UNets have. Throws c10::Error when the network is another.
UNet& unet_of(Network& network);
const UNet& unet_of(const Network& network);

}  // namespace diffusion
