#include "tools/bench/model_shapes.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "diffusion/networks/unet/unet.hpp"

namespace bench {
namespace {

using diffusion::FluxConfig;
using diffusion::MMDiTConfig;
using diffusion::UNetConfig;
using nn::Activation;
using nn::EncoderConfig;

const EncoderConfig kClipL{768, 3072, 12, 12}, kClipG{1280, 5120, 32, 20, Activation::kGelu};

nn::ClipTextConfig text_of(const EncoderConfig& encoder, int64_t projection_dim) {
  nn::ClipTextConfig config;
  config.encoder = encoder;
  config.projection_dim = projection_dim;
  return config;
}

rewards::ClipConfig clip_of(const EncoderConfig& text,
                            const EncoderConfig& vision,
                            int64_t image_size,
                            int64_t patch_size,
                            int64_t width) {
  rewards::ClipConfig config;
  config.text = text_of(text, width);
  config.vision.encoder = vision;
  config.vision.image_size = image_size;
  config.vision.patch_size = patch_size;
  config.projection_dim = width;
  return config;
}

// With the network of Stable Diffusion 1, whose sizes are the config's defaults.
ModelShape sd15() {
  ModelShape shape;
  shape.vae.block_out_channels = {128, 256, 512, 512};
  shape.vae.layers_per_block = 2;
  shape.vae.sample_size = 512;
  shape.text = text_of(kClipL, 768);
  shape.clip = clip_of({1024, 4096, 24, 16, Activation::kGelu},
                       {1280, 5120, 32, 16, Activation::kGelu}, 224, 14, 1024);
  return shape;
}

ModelShape sd21() {
  ModelShape shape = sd15();
  auto& unet = std::get<UNetConfig>(shape.network);
  unet.heads = {5, 10, 20, 20};
  unet.cross_attention_dim = 1024;
  unet.use_linear_projection = true;
  shape.text = text_of({1024, 4096, 23, 16, Activation::kGelu}, 1024);
  return shape;
}

ModelShape sdxl() {
  ModelShape shape = sd15();
  shape.class_name = "StableDiffusionXLPipeline";
  auto& unet = std::get<UNetConfig>(shape.network);
  unet.sample_size = 128;
  unet.down_attention = {false, true, true};
  unet.up_attention = {true, true, false};
  unet.block_out_channels = {320, 640, 1280};
  unet.layers_per_block = {2, 2, 2};
  unet.transformer_layers = {1, 2, 10};
  unet.heads = {5, 10, 20};
  unet.cross_attention_dim = 2048;
  unet.use_linear_projection = true;
  unet.addition_time_embed_dim = 256;
  unet.projection_class_embeddings_input_dim = 2816;
  shape.vae.sample_size = 1024;
  shape.vae.scaling_factor = 0.13025;
  shape.text_2 = text_of(kClipG, 1280);
  return shape;
}

// A VAE of 16 channels. Training is measured without guidance, as flow models are tuned.
ModelShape flow_model() {
  ModelShape shape = sd15();
  shape.vae.latent_channels = 16;
  shape.vae.sample_size = 1024;
  shape.vae.use_quant_conv = shape.vae.use_post_quant_conv = false;
  shape.train_guidance = 1;
  return shape;
}

ModelShape sd35m() {
  ModelShape shape = flow_model();
  shape.class_name = "StableDiffusion3Pipeline";
  MMDiTConfig mmdit{.num_layers = 24,
                    .num_attention_heads = 24,
                    .caption_projection_dim = 1536,
                    .pos_embed_max_size = 384,
                    .dual_attention_layers = std::vector<int64_t>(13),
                    .qk_norm = true};
  std::iota(mmdit.dual_attention_layers.begin(), mmdit.dual_attention_layers.end(), 0);
  shape.network = mmdit;
  shape.vae.scaling_factor = 1.5305;
  shape.vae.shift_factor = 0.0609;
  shape.text_2 = text_of(kClipG, 1280);
  shape.t5_tokens = 256;
  return shape;
}

ModelShape sd35l() {
  ModelShape shape = sd35m();
  shape.network = MMDiTConfig{.num_layers = 38,
                              .num_attention_heads = 38,
                              .caption_projection_dim = 2432,
                              .pos_embed_max_size = 192,
                              .qk_norm = true};
  return shape;
}

ModelShape flux() {
  ModelShape shape = flow_model();
  shape.class_name = "FluxPipeline";
  shape.network = FluxConfig{.guidance_embeds = true};
  shape.vae.scaling_factor = 0.3611;
  shape.vae.shift_factor = 0.1159;
  shape.clip_tokens = 0;
  shape.t5_tokens = 512;
  shape.guidance = 1;  // an input of the network
  return shape;
}

const EncoderConfig kTinyEncoder{8, 16, 2, 2};

ModelShape with_tiny_parts(ModelShape shape) {
  shape.vae.block_out_channels = {4, 4, 8, 8};
  shape.vae.norm_num_groups = 4;
  shape.vae.sample_size = 64;
  shape.text = text_of(kTinyEncoder, 8);
  shape.clip = clip_of(kTinyEncoder, kTinyEncoder, 28, 14, 6);
  if (shape.text_2) shape.text_2 = text_of({12, 24, 2, 2, Activation::kGelu}, 6);
  if (shape.t5_tokens > 0) shape.t5_tokens = 7;
  return shape;
}

ModelShape tiny() {
  ModelShape shape = with_tiny_parts(sd15());
  auto& unet = std::get<UNetConfig>(shape.network);
  unet.sample_size = 8;
  unet.norm_num_groups = 4;
  unet.block_out_channels = {8, 8, 16, 16};
  unet.heads = {2, 2, 2, 2};
  unet.cross_attention_dim = 8;
  return shape;
}

ModelShape tiny_xl() {
  ModelShape shape = with_tiny_parts(sdxl());
  auto& unet = std::get<UNetConfig>(shape.network);
  unet.sample_size = 8;
  unet.norm_num_groups = 4;
  unet.block_out_channels = {8, 8, 16};
  unet.transformer_layers = {1, 1, 2};
  unet.heads = {2, 2, 4};
  unet.cross_attention_dim = 8 + 12;
  unet.addition_time_embed_dim = 4;
  unet.projection_class_embeddings_input_dim = 6 + diffusion::kTimeIds * 4;
  return shape;
}

ModelShape tiny_sd3() {
  ModelShape shape = with_tiny_parts(sd35m());
  shape.network = MMDiTConfig{.sample_size = 8,
                              .num_layers = 3,
                              .attention_head_dim = 8,
                              .num_attention_heads = 2,
                              .joint_attention_dim = 24,
                              .caption_projection_dim = 16,
                              .pooled_projection_dim = 8 + 6,
                              .pos_embed_max_size = 8,
                              .dual_attention_layers = {0},
                              .qk_norm = true};
  return shape;
}

ModelShape tiny_flux() {
  ModelShape shape = with_tiny_parts(flux());
  shape.network = FluxConfig{.num_layers = 2,
                             .num_single_layers = 3,
                             .attention_head_dim = 8,
                             .num_attention_heads = 2,
                             .joint_attention_dim = 24,
                             .pooled_projection_dim = 8,
                             .guidance_embeds = true,
                             .axes_dims_rope = {2, 2, 4}};
  return shape;
}

struct ShapeRow {
  const char* name;
  ModelShape (*make)();
  bool published = true;  // else: for tests
};
constexpr ShapeRow kShapes[] = {{"sd15", sd15},
                                {"sd21", sd21},
                                {"sdxl", sdxl},
                                {"sd35m", sd35m},
                                {"sd35l", sd35l},
                                {"flux", flux},
                                {"tiny", tiny, false},
                                {"tiny-xl", tiny_xl, false},
                                {"tiny-sd3", tiny_sd3, false},
                                {"tiny-flux", tiny_flux, false}};

// Latents of a side come in multiples of it.
int64_t latent_unit(const UNetConfig& unet) {
  return int64_t{1} << (unet.block_out_channels.size() - 1);
}
int64_t latent_unit(const MMDiTConfig& mmdit) { return mmdit.patch_size; }
int64_t latent_unit(const FluxConfig&) { return diffusion::kFluxPatch; }

void set_side(UNetConfig& unet, int64_t side) { unet.sample_size = side; }
void set_side(MMDiTConfig& mmdit, int64_t side) { mmdit.sample_size = side; }
void set_side(FluxConfig&, int64_t) {}  // it has none

void limit_blocks(UNetConfig&, int64_t) {
  throw data::BadInput(
      "blocks: expected the shape of a transformer (sd35m, sd35l, flux), found a UNet");
}
void limit_blocks(MMDiTConfig& mmdit, int64_t blocks) {
  mmdit.num_layers = std::min(mmdit.num_layers, blocks);
  std::erase_if(mmdit.dual_attention_layers,
                [&](int64_t layer) { return layer >= mmdit.num_layers; });
}
void limit_blocks(FluxConfig& flux, int64_t blocks) {
  flux.num_layers = std::min(flux.num_layers, blocks);
  flux.num_single_layers = std::min(flux.num_single_layers, blocks);
}

int64_t count_blocks(const UNetConfig&) { return 0; }
int64_t count_blocks(const MMDiTConfig& mmdit) { return mmdit.num_layers; }
int64_t count_blocks(const FluxConfig& flux) {
  return std::max(flux.num_layers, flux.num_single_layers);
}

diffusion::Network meta_network(const UNetConfig& unet) { return diffusion::meta_unet(unet); }
diffusion::Network meta_network(const MMDiTConfig& mmdit) { return diffusion::meta_mmdit(mmdit); }
diffusion::Network meta_network(const FluxConfig& flux) { return diffusion::meta_flux(flux); }

}  // namespace

ModelShape shape_by_name(const std::string& name) {
  std::vector<std::string> published;
  for (const ShapeRow& row : kShapes) {
    if (name == row.name) return row.make();
    if (row.published) published.emplace_back(row.name);
  }
  throw data::BadInput("shape: expected one of " + data::joined(published, ", ") + "; found '" +
                       name + "'");
}

int64_t latent_side(const ModelShape& shape, int64_t resolution) {
  const int64_t factor = diffusion::vae_factor(shape.vae);
  const int64_t unit =
      factor * std::visit([](const auto& config) { return latent_unit(config); }, shape.network);
  if (resolution % unit != 0) {
    throw data::BadInput("resolution: expected a multiple of " + std::to_string(unit) + ", found " +
                         std::to_string(resolution));
  }
  return resolution / factor;
}

ModelShape at_latent_side(ModelShape shape, int64_t side) {
  std::visit([side](auto& config) { set_side(config, side); }, shape.network);
  return shape;
}

ModelShape with_blocks(ModelShape shape, int64_t blocks) {
  std::visit([blocks](auto& config) { limit_blocks(config, blocks); }, shape.network);
  return shape;
}

int64_t blocks_of(const ModelShape& shape) {
  return std::visit([](const auto& config) { return count_blocks(config); }, shape.network);
}

diffusion::Network shape_network(const ModelShape& shape, at::ScalarType compute) {
  const diffusion::Network network =
      std::visit([](const auto& config) { return meta_network(config); }, shape.network);
  return compute == at::kFloat ? network : diffusion::with_compute_dtype(network, compute);
}

}  // namespace bench
