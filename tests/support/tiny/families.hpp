#pragma once

// tiny_pipeline() as each family has it: random weights of the real architecture at a small size.

#include "tests/support/tiny/pipeline.hpp"

namespace tests {

// Its UNet anew, by a changed config.
inline void rebuild_unet(diffusion::Pipeline& pipeline, const diffusion::UNetConfig& config) {
  auto generator = at::detail::createCPUGenerator(7);
  pipeline.network = diffusion::make_unet(config, generator);
}

inline diffusion::Pipeline tiny_sd2v() {
  auto pipeline = tiny_pipeline();
  auto config = tiny_unet_config();
  config.use_linear_projection = true;
  config.heads = {2, 4};
  rebuild_unet(pipeline, config);
  pipeline.scheduler.prediction_type = diffusion::Prediction::kV;
  pipeline.scheduler.rescale_betas_zero_snr = true;
  pipeline.scheduler.timestep_spacing = diffusion::Spacing::kTrailing;
  return pipeline;
}

inline diffusion::Pipeline tiny_sdxl() {
  auto pipeline = tiny_pipeline();
  auto generator = at::detail::createCPUGenerator(6);
  pipeline.class_name = "StableDiffusionXLPipeline";
  pipeline.force_zeros_for_empty_prompt = true;
  nn::ClipTextConfig text = pipeline.text_encoders[0].network.config;
  text.encoder.hidden_size = 12;
  text.encoder.hidden_act = nn::Activation::kGelu;
  text.projection_dim = 6;
  nn::ClipText second = nn::make_clip_text(text, generator);
  second.text_projection = nn::make_text_projection(text, generator);
  data::Tokenizer tokenizer = pipeline.text_encoders[0].tokenizer;
  tokenizer.pad_token = "!";
  tokenizer.pad = tokenizer.vocab.at("!");
  pipeline.text_encoders.push_back({.network = second, .tokenizer = tokenizer});
  auto config = tiny_unet_config();
  config.cross_attention_dim = 8 + 12;
  config.transformer_layers = {1, 2};
  config.heads = {2, 4};
  config.use_linear_projection = true;
  config.addition_time_embed_dim = 4;
  config.projection_class_embeddings_input_dim = 6 + 6 * 4;
  rebuild_unet(pipeline, config);
  return pipeline;
}

inline diffusion::Pipeline tiny_lcm() {
  auto pipeline = tiny_pipeline();
  pipeline.class_name = "LatentConsistencyModelPipeline";
  auto config = tiny_unet_config();
  config.time_cond_proj_dim = 16;
  rebuild_unet(pipeline, config);
  return pipeline;
}

inline diffusion::Pipeline tiny_ip2p() {
  auto pipeline = tiny_pipeline();
  pipeline.class_name = "StableDiffusionInstructPix2PixPipeline";
  auto config = tiny_unet_config();
  config.in_channels = 8;
  rebuild_unet(pipeline, config);
  return pipeline;
}

}  // namespace tests
