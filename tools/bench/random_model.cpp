#include "tools/bench/random_model.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <map>

#include "data/base/error.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "rewards/clip/files.hpp"

namespace bench {
namespace {

constexpr int64_t kVocabulary = 520;

using nn::Activation;
using nn::EncoderConfig;

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

ModelShape sd15() {
  ModelShape shape;  // the UNet's defaults are those of Stable Diffusion 1
  shape.vae.block_out_channels = {128, 256, 512, 512};
  shape.vae.layers_per_block = 2;
  shape.vae.sample_size = 512;
  shape.text = text_of({768, 3072, 12, 12}, 768);
  shape.clip = clip_of({1024, 4096, 24, 16, Activation::kGelu},
                       {1280, 5120, 32, 16, Activation::kGelu}, 224, 14, 1024);
  return shape;
}

ModelShape sd21() {
  ModelShape shape = sd15();
  shape.unet.heads = {5, 10, 20, 20};
  shape.unet.cross_attention_dim = 1024;
  shape.unet.use_linear_projection = true;
  shape.text = text_of({1024, 4096, 23, 16, Activation::kGelu}, 1024);
  return shape;
}

ModelShape sdxl() {
  ModelShape shape = sd15();
  diffusion::UNetConfig& unet = shape.unet;
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
  shape.text_2 = text_of({1280, 5120, 32, 20, Activation::kGelu}, 1280);
  return shape;
}

void make_tiny(ModelShape& shape) {
  shape.unet.sample_size = 8;
  shape.unet.norm_num_groups = 4;
  shape.vae.block_out_channels = {4, 4, 8, 8};
  shape.vae.norm_num_groups = 4;
  shape.vae.sample_size = 64;
  const EncoderConfig encoder{8, 16, 2, 2};
  shape.text = text_of(encoder, 8);
  shape.clip = clip_of(encoder, encoder, 28, 14, 6);
}

ModelShape tiny() {
  ModelShape shape = sd15();
  make_tiny(shape);
  shape.unet.block_out_channels = {8, 8, 16, 16};
  shape.unet.heads = {2, 2, 2, 2};
  shape.unet.cross_attention_dim = 8;
  return shape;
}

ModelShape tiny_xl() {
  ModelShape shape = sdxl();
  make_tiny(shape);
  shape.unet.block_out_channels = {8, 8, 16};
  shape.unet.transformer_layers = {1, 1, 2};
  shape.unet.heads = {2, 2, 4};
  shape.unet.cross_attention_dim = 8 + 12;
  shape.unet.addition_time_embed_dim = 4;
  shape.unet.projection_class_embeddings_input_dim = 6 + diffusion::kTimeIds * 4;
  shape.text_2 = text_of({12, 24, 2, 2, Activation::kGelu}, 6);
  return shape;
}

// The ids of the special tokens are those of the tokenizer, not of a full-size vocabulary.
void follow(const data::Tokenizer& tokenizer, nn::ClipTextConfig& config) {
  config.bos_token_id = tokenizer.bos;
  config.eos_token_id = tokenizer.eos;
  config.pad_token_id = tokenizer.pad;
}

void add_second_text(const ModelShape& shape,
                     at::Generator& generator,
                     diffusion::Pipeline& pipeline) {
  pipeline.class_name = "StableDiffusionXLPipeline";
  pipeline.force_zeros_for_empty_prompt = true;
  data::Tokenizer tokenizer = pipeline.text_encoders[0].tokenizer;
  tokenizer.pad_token = "!";
  tokenizer.pad = tokenizer.vocab.at("!");
  nn::ClipTextConfig text = *shape.text_2;
  follow(tokenizer, text);
  nn::ClipText network = nn::make_clip_text(text, generator);
  network.text_projection = nn::make_text_projection(text, generator);
  pipeline.text_encoders.push_back({.network = network, .tokenizer = tokenizer});
}

}  // namespace

ModelShape shape_by_name(const std::string& name) {
  static const std::map<std::string, ModelShape (*)()> shapes = {
      {"sd15", sd15}, {"sd21", sd21}, {"sdxl", sdxl}, {"tiny", tiny}, {"tiny-xl", tiny_xl}};
  const auto found = shapes.find(name);
  if (found == shapes.end())
    throw data::BadInput("shape: expected sd15, sd21 or sdxl, found '" + name + "'");
  return found->second();
}

int64_t latent_side(const ModelShape& shape, int64_t resolution) {
  const int64_t factor = diffusion::vae_factor(shape.vae);
  const int64_t unit = factor << (shape.unet.block_out_channels.size() - 1);
  if (resolution % unit != 0) {
    throw data::BadInput("resolution: expected a multiple of " + std::to_string(unit) + ", found " +
                         std::to_string(resolution));
  }
  return resolution / factor;
}

RandomModel make_random_model(const std::string& name, int64_t resolution) {
  ModelShape shape = shape_by_name(name);
  if (resolution > 0) shape.unet.sample_size = latent_side(shape, resolution);
  auto generator = at::detail::createCPUGenerator(1);
  RandomModel model;
  diffusion::Pipeline& pipeline = model.pipeline;
  const data::Tokenizer tokenizer = data::train_bpe(some_prompts(12), kVocabulary, kTokens);
  pipeline.network = diffusion::make_unet(shape.unet, generator);
  pipeline.vae = diffusion::make_vae(shape.vae, generator);
  follow(tokenizer, shape.text);
  pipeline.text_encoders.push_back(
      {.network = nn::make_clip_text(shape.text, generator), .tokenizer = tokenizer});
  if (shape.text_2) add_second_text(shape, generator, pipeline);
  pipeline.cache = diffusion::make_prompt_cache();
  follow(tokenizer, shape.clip.text);
  model.clip = rewards::make_clip(shape.clip, generator);
  return model;
}

void save_random_model(const std::filesystem::path& folder, const RandomModel& model) {
  diffusion::save_pipeline(folder, model.pipeline, at::kHalf);
  rewards::save_clip(folder / "clip", model.clip, at::kHalf);
}

std::vector<std::string> some_prompts(int64_t count) {
  static const char* const kColours[] = {"red", "green", "blue", "yellow"};
  static const char* const kShapes[] = {"circle", "square", "triangle"};
  std::vector<std::string> prompts;
  for (int64_t k = 0; k < count; ++k) {
    prompts.push_back(std::string("a ") + kColours[k % 4] + " " + kShapes[k % 3]);
  }
  return prompts;
}

}  // namespace bench
