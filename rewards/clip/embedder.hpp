#pragma once

// Rewards that look through a CLIP: the CLIP score and the aesthetic head, sharing one embedding of
// each image.

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/text/clip_tokenizer.hpp"
#include "rewards/clip/model.hpp"
#include "rewards/reward.hpp"
#include "rewards/scorers/aesthetic.hpp"

namespace rewards {

// A CLIP with memory: each prompt is embedded once, and the same batch of images once for all
// rewards that ask in turn.
class ClipEmbedder {
 public:
  ClipEmbedder(Clip clip, data::Tokenizer tokenizer, at::Device device);

  // images: [B, 3, H, W] in [0, 1] -> [B, D] unit norm on the CLIP's device; differentiable.
  at::Tensor images(const at::Tensor& images);
  // -> [B, D] unit norm, no gradient. Prompts beyond the text tower's length are cut.
  at::Tensor texts(const std::vector<std::string>& prompts);
  int64_t width() const;
  double logit_scale() const;  // its logarithm, as stored
  at::Device device() const { return device_; }

 private:
  Clip clip_;
  data::Tokenizer tokenizer_;
  at::Device device_;
  std::unordered_map<std::string, at::Tensor> texts_;  // prompt -> [D]
  at::Tensor last_images_, last_features_;             // without gradients only
  int64_t last_version_ = 0;
};

// The tokenizer of a CLIP folder lies inside it or in ../tokenizer, as in a diffusers folder.
data::Tokenizer load_clip_tokenizer(const std::filesystem::path& folder);
// A CLIP folder in Hugging Face's layout, with its tokenizer.
std::shared_ptr<ClipEmbedder> load_clip_embedder(const std::filesystem::path& folder,
                                                 at::Device device);

// 100 cos(image, text). Hessel et al., "CLIPScore" (2021), eq. 1, have 2.5 max(cos, 0); the field
// reports 100 cos, which also keeps its gradient below 0. images, texts: [B, D] unit norm -> [B]
at::Tensor clip_score(const at::Tensor& images, const at::Tensor& texts);

RewardInfo clip_score_info();
RewardInfo aesthetic_info();
Reward clip_score_reward(const std::shared_ptr<ClipEmbedder>& clip);

// Throws BadInput when the head expects embeddings of another width than this CLIP's. A head
// without activations is folded into one layer.
Reward aesthetic_reward(const std::shared_ptr<ClipEmbedder>& clip,
                        const std::filesystem::path& head);

}  // namespace rewards
