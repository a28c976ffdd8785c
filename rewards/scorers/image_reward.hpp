#pragma once

// ImageReward (Xu et al., "ImageReward: learning and evaluating human preferences for text-to-image
// generation", 2023): BLIP's vision transformer, a BERT with cross attention to the image in every
// layer, and a small head on its first token. Names are those of ImageReward.pt.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/text/wordpiece.hpp"
#include "rewards/clip/image_transform.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/scorers/aesthetic.hpp"

namespace rewards {

struct BlipVisionBlock {  // pre-norm
  nn::Norm norm1, norm2;
  nn::Linear qkv, proj, fc1, fc2;
};
struct BlipAttention {  // post-norm: LayerNorm(x + dense(attention))
  nn::Linear query, key, value, dense;
  nn::Norm norm;
};
struct BlipTextBlock {
  BlipAttention self, cross;
  nn::Linear intermediate, output;
  nn::Norm norm;
};
struct Blip {
  at::Tensor cls_token;  // [1, 1, D]
  at::Tensor pos_embed;  // [1, 1 + patches, D]
  nn::Conv2d patches;    // [D, 3, p, p]
  std::vector<BlipVisionBlock> vision;
  nn::Norm vision_norm;
  at::Tensor words, places;  // [V, E], [P, E]
  nn::Norm embedding_norm;
  std::vector<BlipTextBlock> text;
  AestheticHead head;  // folded: [1, E]
  int64_t vision_heads = 16, text_heads = 12;
  ImageTransform transform{};
};

// From ImageReward's tensors, with or without the prefix "blip.". Throws BadInput naming the
// tensor.
Blip take_blip(const data::Weights& weights);

// x: [B, 3, size, size] preprocessed -> [B, 1 + patches, D]
at::Tensor blip_vision_forward(const Blip& w, const at::Tensor& x);
// ids, mask: [B, L]; image: [B, N, D] -> [B], standardised as ImageReward's score
at::Tensor blip_score(const Blip& w,
                      const at::Tensor& ids,
                      const at::Tensor& mask,
                      const at::Tensor& image);

// spec.argument: ImageReward.pt or its folder; vocab.txt of bert-base-uncased lies beside it or is
// named by ;tokenizer=. Prompts are cut at 35 pieces, as in the package.
Reward image_reward(const RewardSpec& spec, at::Device device);

extern const FamilyEntry kImageRewardFamily;

}  // namespace rewards
