#include "rewards/clip/embedder.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/shape.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "rewards/clip/files.hpp"

namespace rewards {
namespace {

constexpr size_t kCachedPrompts = 100000;  // then the cache is cleared

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
  const bool same = !graph && last_images_.defined() && last_images_.is_same(images) &&
                    last_version_ == images._version();
  if (!same) ++image_passes_;
  if (graph) return image_features(clip_, images.to(device_));
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

}  // namespace rewards
