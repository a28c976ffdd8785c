#pragma once

// A CLIP with its tokenizer that several rewards share: each image and prompt is embedded once.

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/text/clip_tokenizer.hpp"
#include "rewards/clip/model.hpp"

namespace rewards {

// Caches the embeddings of all prompts, and those of the last batch of images for the rewards that
// score it in turn.
class ClipEmbedder {
 public:
  ClipEmbedder(Clip clip, data::Tokenizer tokenizer, at::Device device);

  // images: [B, 3, H, W] in [0, 1] -> [B, D] unit norm on the CLIP's device; differentiable.
  at::Tensor images(const at::Tensor& images);
  // -> [B, D] unit norm, no gradient. Longer prompts are truncated to the text tower's length.
  at::Tensor texts(const std::vector<std::string>& prompts);
  int64_t width() const;
  double logit_scale() const;                             // its logarithm, as stored
  int64_t image_passes() const { return image_passes_; }  // batches that the image tower has seen
  at::Device device() const { return device_; }

 private:
  Clip clip_;
  data::Tokenizer tokenizer_;
  at::Device device_;
  std::unordered_map<std::string, at::Tensor> texts_;  // prompt -> [D]
  at::Tensor last_images_, last_features_;             // without gradients only
  int64_t last_version_ = 0, image_passes_ = 0;
};

// The tokenizer inside a CLIP folder, else in ../tokenizer, as in a diffusers folder.
data::Tokenizer load_clip_tokenizer(const std::filesystem::path& folder);
// A CLIP folder in Hugging Face's layout, with its tokenizer.
std::shared_ptr<ClipEmbedder> load_clip_embedder(const std::filesystem::path& folder,
                                                 at::Device device);

}  // namespace rewards
