#pragma once

// The sizes of published models.

#include <optional>
#include <string>
#include <variant>

#include "data/nn/clip_text.hpp"
#include "diffusion/networks/network.hpp"
#include "diffusion/networks/vae/vae.hpp"
#include "rewards/clip/model.hpp"

namespace bench {

using NetworkShape =
    std::variant<diffusion::UNetConfig, diffusion::MMDiTConfig, diffusion::FluxConfig>;

// The configs of a model's networks.
struct ModelShape {
  const char* class_name = "StableDiffusionPipeline";  // diffusers' pipeline
  NetworkShape network;
  diffusion::VaeConfig vae;
  nn::ClipTextConfig text;
  std::optional<nn::ClipTextConfig> text_2;  // of SDXL and Stable Diffusion 3
  int64_t clip_tokens = 77, t5_tokens = 0;   // rows of a text that the network reads
  double guidance = 5;                       // of a measured sampling step
  double train_guidance = 5;                 // of a measured training step
  rewards::ClipConfig clip;                  // of the reward: ViT-H/14, as for HPSv2 and PickScore
};

// sd15, sd21, sdxl, sd35m, sd35l, flux (FLUX.1 dev); tiny, tiny-xl, tiny-sd3 and tiny-flux for
// tests. Throws BadInput, with these names, for another.
ModelShape shape_by_name(const std::string& name);

// Side of the latents for an image with this side in pixels. Throws BadInput when it does not fit.
int64_t latent_side(const ModelShape& shape, int64_t resolution);
// With a network that was trained at latents of this side.
ModelShape at_latent_side(ModelShape shape, int64_t side);
// With the first `blocks` blocks of a transformer, of each kind. Throws BadInput for a UNet.
ModelShape with_blocks(ModelShape shape, int64_t blocks);
// Blocks of a transformer, of the kind of which it has most; 0: a UNet.
int64_t blocks_of(const ModelShape& shape);

// The network without values (meta device). Its linear layers are of type `compute`.
diffusion::Network shape_network(const ModelShape& shape, at::ScalarType compute = at::kFloat);

}  // namespace bench
