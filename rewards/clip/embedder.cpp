#include "rewards/clip/embedder.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"

namespace rewards {
namespace {

constexpr size_t kCachedPrompts = 100000;  // then the cache starts afresh

}  // namespace

ClipEmbedder::ClipEmbedder(Clip clip, data::Tokenizer tokenizer, at::Device device)
    : clip_(std::move(clip)), tokenizer_(std::move(tokenizer)), device_(device) {
  const at::NoGradGuard no_grad;
  for_each_tensor(clip_, "",
                  [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device_); });
}

double ClipEmbedder::logit_scale() const { return clip_.logit_scale.item<double>(); }

int64_t ClipEmbedder::width() const { return clip_.visual_projection.size(0); }

at::Tensor ClipEmbedder::images(const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "ClipEmbedder: images");
  const bool graph = at::GradMode::is_enabled() && images.requires_grad();
  if (graph) return image_features(clip_, images.to(device_));
  const bool same =
      last_images_.defined() && last_images_.is_same(images) && last_version_ == images._version();
  if (!same) {
    last_features_ = image_features(clip_, images.to(device_));
    last_images_ = images;
    last_version_ = images._version();
  }
  return last_features_;
}

at::Tensor ClipEmbedder::texts(const std::vector<std::string>& prompts) {
  const at::NoGradGuard no_grad;
  if (texts_.size() > kCachedPrompts) texts_.clear();
  std::vector<std::string> fresh;
  for (const auto& prompt : prompts) {
    if (texts_.emplace(prompt, at::Tensor()).second) fresh.push_back(prompt);
  }
  if (!fresh.empty()) {
    const auto features = text_features(clip_, data::encode(tokenizer_, fresh).ids.to(device_));
    for (size_t i = 0; i < fresh.size(); ++i) texts_[fresh[i]] = features[static_cast<int64_t>(i)];
  }
  std::vector<at::Tensor> rows;
  for (const auto& prompt : prompts) rows.push_back(texts_.at(prompt));
  return at::stack(rows);
}

data::Tokenizer load_clip_tokenizer(const std::filesystem::path& folder) {
  const bool inside = std::filesystem::exists(folder / "vocab.json");
  return data::load_tokenizer(inside ? folder : folder / ".." / "tokenizer");
}

std::shared_ptr<ClipEmbedder> load_clip_embedder(const std::filesystem::path& folder,
                                                 at::Device device) {
  return std::make_shared<ClipEmbedder>(load_clip(folder), load_clip_tokenizer(folder), device);
}

at::Tensor clip_score(const at::Tensor& images, const at::Tensor& texts) {
  return 100 * (images * texts).sum(1);
}

RewardInfo clip_score_info() {
  return {.name = "clip_score",
          .unit = "cosine x 100",
          .low = 0,
          .high = 100,
          .needs_prompt = true,
          .differentiable = true,
          .description = "how well CLIP finds the prompt in the image (Hessel et al. 2021)"};
}

RewardInfo aesthetic_info() {
  return {.name = "aesthetic",
          .unit = "1-10",
          .low = 1,
          .high = 10,
          .differentiable = true,
          .description = "mean rating predicted from the CLIP embedding (LAION's form)"};
}

Reward clip_score_reward(const std::shared_ptr<ClipEmbedder>& clip) {
  const auto score = [clip](const RewardBatch& batch) {
    TORCH_CHECK(static_cast<int64_t>(batch.prompts.size()) == batch.images.size(0),
                "clip_score: expected a prompt for each of ", batch.images.size(0), " images, got ",
                batch.prompts.size());
    const auto similarity = clip_score(clip->images(batch.images), clip->texts(batch.prompts));
    return similarity.to(batch.images.device());
  };
  return {.info = clip_score_info(), .score = score};
}

Reward aesthetic_reward(const std::shared_ptr<ClipEmbedder>& clip,
                        const std::filesystem::path& path) {
  AestheticHead head = folded(load_aesthetic(path));
  if (embedding_width(head) != clip->width()) {
    throw data::BadInput(path.string() + ": expected a head for CLIP embeddings of width " +
                         std::to_string(clip->width()) + ", found " +
                         std::to_string(embedding_width(head)) +
                         "; give the CLIP that it was trained on (--clip)");
  }
  for_each_tensor(head, "", [&](const std::string&, at::Tensor& tensor) {
    tensor = tensor.to(clip->device());
  });
  const auto score = [clip, head](const RewardBatch& batch) {
    return aesthetic_forward(head, clip->images(batch.images)).to(batch.images.device());
  };
  return {.info = aesthetic_info(), .score = score};
}

}  // namespace rewards
