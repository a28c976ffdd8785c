#include "rewards/clip/model.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

constexpr double kInitialLogitScale = 2.6592;  // ln(1 / 0.07), Radford et al. 2021, section 2.5

at::Tensor unit_norm(const at::Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true); }

// The transformer's input: the class token, then the patches. -> [B, 1 + patches, D]
at::Tensor embedded(const ClipVision& w, const at::Tensor& x) {
  const nn::EncoderConfig& config = w.config.encoder;
  data::check_shape(x, {-1, 3, w.config.image_size, w.config.image_size}, "clip_vision: x");
  const at::Tensor patches =
      nn::conv2d(w.patch_embedding, x, w.config.patch_size, 0).flatten(2).transpose(1, 2);
  const at::Tensor token = w.class_embedding.expand({x.size(0), 1, config.hidden_size});
  const at::Tensor tokens = at::cat({token, patches}, 1) + w.position_embedding;
  return nn::layer_norm(w.pre_layrnorm, tokens, config.layer_norm_eps);
}

}  // namespace

at::Tensor clip_vision_tokens(const ClipVision& w, const at::Tensor& x) {
  return nn::encoder_forward(w.encoder, w.config.encoder, embedded(w, x));
}

at::Tensor clip_vision_forward(const ClipVision& w, const at::Tensor& x) {
  // Only the class token of the last layer is used.
  const at::Tensor token =
      nn::encoder_forward(w.encoder, w.config.encoder, embedded(w, x), /*first=*/1).select(1, 0);
  return nn::layer_norm(w.post_layernorm, token, w.config.encoder.layer_norm_eps);
}

at::Tensor image_features(const Clip& w, const at::Tensor& images) {
  const at::Tensor pooled = clip_vision_forward(w.vision, preprocess(w.transform, images));
  return unit_norm(at::linear(pooled, w.visual_projection));
}

at::Tensor text_features(const Clip& w, const at::Tensor& ids) {
  return unit_norm(at::linear(nn::clip_text_forward(w.text, ids).pooled, w.text_projection));
}

Clip make_clip(const ClipConfig& config, at::Generator& generator) {
  const int64_t width = config.vision.encoder.hidden_size, patch = config.vision.patch_size;
  const int64_t side = config.vision.image_size / patch;
  const double std = 1.0 / std::sqrt(static_cast<double>(width));
  Clip w;
  w.text = nn::make_clip_text(config.text, generator);
  w.vision.config = config.vision;
  w.vision.class_embedding = nn::normal_tensor({width}, std, generator);
  w.vision.patch_embedding.weight =
      nn::make_conv2d(width, config.vision.num_channels, patch, generator).weight;
  w.vision.position_embedding = nn::normal_tensor({1 + side * side, width}, std, generator);
  w.vision.pre_layrnorm = nn::make_norm(width);
  w.vision.encoder = nn::make_encoder(config.vision.encoder, generator);
  w.vision.post_layernorm = nn::make_norm(width);
  const int64_t text_width = config.text.encoder.hidden_size;
  const double text_std = 1.0 / std::sqrt(static_cast<double>(text_width));
  w.text_projection = nn::normal_tensor({config.projection_dim, text_width}, text_std, generator);
  w.visual_projection = nn::normal_tensor({config.projection_dim, width}, std, generator);
  w.logit_scale = at::full({}, kInitialLogitScale, at::kFloat);
  w.transform.size = config.vision.image_size;
  return w;
}

void for_each_tensor(Clip& w, const std::string& prefix, const data::TensorVisitor& visit) {
  ClipVision& vision = w.vision;
  nn::for_each_tensor(w.text, prefix + "text_model", visit);
  visit(prefix + "vision_model.embeddings.class_embedding", vision.class_embedding);
  nn::for_each_tensor(vision.patch_embedding, prefix + "vision_model.embeddings.patch_embedding",
                      visit);
  visit(prefix + "vision_model.embeddings.position_embedding.weight", vision.position_embedding);
  nn::for_each_tensor(vision.pre_layrnorm, prefix + "vision_model.pre_layrnorm", visit);
  nn::for_each_tensor(vision.encoder, prefix + "vision_model.encoder", visit);
  nn::for_each_tensor(vision.post_layernorm, prefix + "vision_model.post_layernorm", visit);
  visit(prefix + "text_projection.weight", w.text_projection);
  visit(prefix + "visual_projection.weight", w.visual_projection);
  visit(prefix + "logit_scale", w.logit_scale);
}

}  // namespace rewards
