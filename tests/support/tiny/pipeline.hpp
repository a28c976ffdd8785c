#pragma once

// A whole checkpoint with random weights, small enough for a test of milliseconds: 16x16 images,
// 4x8x8 latents.

#include <ATen/CPUGeneratorImpl.h>

#include "diffusion/networks/vae/build.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace tests {

inline diffusion::UNetConfig tiny_unet_config() {
  diffusion::UNetConfig config;
  config.sample_size = 8;
  config.block_out_channels = {8, 16};
  config.down_attention = {false, true};
  config.up_attention = {true, false};
  config.layers_per_block = {1, 1};
  config.transformer_layers = {1, 1};
  config.heads = {2, 2};
  config.cross_attention_dim = 8;
  config.norm_num_groups = 4;
  return config;
}

inline diffusion::Pipeline tiny_pipeline() {
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::Pipeline pipeline;
  pipeline.network = diffusion::make_unet(tiny_unet_config(), generator);
  diffusion::VaeConfig vae;
  vae.block_out_channels = {4, 8};
  vae.norm_num_groups = 4;
  vae.sample_size = 16;
  pipeline.vae = diffusion::make_vae(vae, generator);
  const data::Tokenizer tokenizer =
      data::train_bpe({"a red circle", "a blue square", "a red square"}, 520, 12);
  nn::ClipTextConfig text;
  text.encoder.hidden_size = 8;
  text.encoder.intermediate_size = 16;
  text.encoder.num_hidden_layers = 1;
  text.encoder.num_attention_heads = 2;
  text.vocab_size = static_cast<int64_t>(tokenizer.vocab.size());
  text.max_position_embeddings = tokenizer.max_length;
  text.bos_token_id = tokenizer.bos;
  text.eos_token_id = tokenizer.eos;
  pipeline.text_encoders.push_back(
      {.network = nn::make_clip_text(text, generator), .tokenizer = tokenizer});
  pipeline.cache = diffusion::make_prompt_cache();
  return pipeline;
}

}  // namespace tests
