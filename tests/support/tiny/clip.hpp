#pragma once

// A CLIP of two small towers with random weights, and images that a finetuning can tell apart.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <map>
#include <string>

#include "data/text/clip_tokenizer.hpp"
#include "rewards/clip/model.hpp"

struct TinyClip {
  rewards::Clip clip;
  data::Tokenizer tokenizer;
};
inline TinyClip tiny_clip() {
  auto generator = at::detail::createCPUGenerator(11);
  const nn::EncoderConfig encoder{
      .hidden_size = 16, .intermediate_size = 32, .num_hidden_layers = 2, .num_attention_heads = 2};
  rewards::ClipConfig config;
  config.text.encoder = config.vision.encoder = encoder;
  config.text.max_position_embeddings = 12;
  config.text.vocab_size = 600;
  config.vision.image_size = 16;
  config.vision.patch_size = 8;
  config.projection_dim = 6;
  return {rewards::make_clip(config, generator),
          data::train_bpe({"a red circle", "a blue square"}, 520, 12)};
}

// 20 reddish images, then 20 bluish ones. -> [40, 3, 16, 16]
inline at::Tensor two_colours() {
  auto generator = at::detail::createCPUGenerator(12);
  const at::Tensor images = 0.2 * at::rand({40, 3, 16, 16}, generator);
  images.slice(0, 0, 20).select(1, 0) += 0.7;
  images.slice(0, 20).select(1, 2) += 0.7;
  return images;
}

template <class S>
std::map<std::string, at::Tensor> tensors_of(S weights) {
  std::map<std::string, at::Tensor> found;
  for_each_tensor(weights, "",
                  [&](const std::string& name, at::Tensor& tensor) { found[name] = tensor; });
  return found;
}
