#include "rewards/scorers/mps.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/weights/weight_files.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/layouts.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace rewards {
namespace {

constexpr double kEps = 1e-5;
// The list of attributes that the release compares prompts with for the overall score.
constexpr const char* kAttributes =
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, "
    "structure, instance, texture, quantity, attributes, position, number, location, word, things.";

// A LayerNorm whose bias is zero: the release stores it as a buffer.
nn::Norm take_norm(const data::Weights& weights, const std::string& name, int64_t width) {
  const at::Tensor weight = data::take(weights, name + ".weight", {width});
  return {weight, at::zeros_like(weight)};
}

// SwiGLU: the first half is the value, the second the gate.
at::Tensor swiglu(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::silu(halves[1]) * halves[0];
}

// One key and value for all heads. q: [B, Q, H d]; k, v: [B, L, d]; mask: undefined or [B, L]
at::Tensor one_key_attention(const at::Tensor& q,
                             const at::Tensor& k,
                             const at::Tensor& v,
                             const at::Tensor& mask) {
  const int64_t width = k.size(2), heads = q.size(2) / width;
  const at::Tensor split = q.view({q.size(0), q.size(1), heads, width}).transpose(1, 2);
  at::Tensor scores = split.matmul(k.unsqueeze(1).transpose(2, 3)) / std::sqrt(width);
  if (mask.defined()) scores = scores + mask.view({mask.size(0), 1, 1, mask.size(1)});
  const at::Tensor seen = at::softmax(scores, -1).matmul(v.unsqueeze(1));  // [B, H, Q, d]
  return seen.transpose(1, 2).reshape(q.sizes());
}

// x: [B, N, heads d] -> the same with rotary position embedding (Su et al., RoFormer).
at::Tensor rotated(const at::Tensor& x, const at::Tensor& inv_freq) {
  const int64_t width = 2 * inv_freq.size(0), count = x.size(1);
  const at::Tensor places =
      at::arange(count, inv_freq.options()).unsqueeze(1) * inv_freq;  // [N, d/2]
  const at::Tensor angle = at::cat({places, places}, 1).view({1, count, 1, width});
  const at::Tensor heads = x.view({x.size(0), count, -1, width});
  const auto halves = heads.chunk(2, -1);
  const at::Tensor turned = at::cat({-halves[1], halves[0]}, -1);
  return (heads * angle.cos() + turned * angle.sin()).view(x.sizes());
}

at::Tensor cross_block(const MpsCross& w,
                       const at::Tensor& query,
                       const at::Tensor& context,
                       const at::Tensor& mask) {
  const at::Tensor x = nn::layer_norm(w.norm, query, kEps);
  const auto kv = nn::linear(w.to_kv, context).chunk(2, -1);
  const at::Tensor seen = one_key_attention(nn::linear(w.to_q, x), kv[0], kv[1], mask);
  return query + nn::linear(w.to_out, seen) + nn::linear(w.ff_out, swiglu(nn::linear(w.ff_in, x)));
}

at::Tensor self_block(const MpsSelf& w, const at::Tensor& query) {
  const int64_t head = 2 * w.inv_freq.size(0), inner = w.attn_out.weight.size(1);
  const at::Tensor all = nn::linear(w.fused, nn::layer_norm(w.norm, query, kEps));
  const auto parts = all.split_with_sizes({inner, head, head, all.size(2) - inner - 2 * head},
                                          -1);  // q, k, v, feed-forward
  const at::Tensor seen =
      one_key_attention(rotated(parts[0], w.inv_freq), rotated(parts[1], w.inv_freq), parts[2], {});
  return query + nn::linear(w.attn_out, seen) + nn::linear(w.ff_out, swiglu(parts[3]));
}

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {-1}, true); }

// All image tokens, projected without post_layernorm as in the release. -> [B, N, P]
at::Tensor image_tokens(const Clip& w, const at::Tensor& x) {
  return at::linear(clip_vision_tokens(w.vision, x), w.visual_projection);
}

void move_to(Mps& w, at::Device device) {
  for_each_tensor(w.clip, "", [&](const std::string&, at::Tensor& t) { t = t.to(device); });
  for (auto& [cross, self] : w.layers) {
    for (auto* layer : {&cross.to_q, &cross.to_kv, &cross.to_out, &cross.ff_in, &cross.ff_out,
                        &self.fused, &self.attn_out, &self.ff_out})
      layer->weight = layer->weight.to(device);
    for (auto* norm : {&cross.norm, &self.norm}) {
      norm->weight = norm->weight.to(device);
      norm->bias = norm->bias.to(device);
    }
    self.inv_freq = self.inv_freq.to(device);
  }
}

double threshold_of(const RewardSpec& spec) {
  const auto found = spec.settings.find("threshold");
  if (found == spec.settings.end()) return Mps{}.threshold;
  const auto value = data::number_of<double>(found->second);
  if (value && *value >= 0 && *value < 1) return *value;
  throw data::BadInput("reward " + spec.name +
                       ": threshold: expected a number from 0 to below 1, found '" + found->second +
                       "'");
}

}  // namespace

std::vector<MpsLayer> take_mps_layers(const data::Weights& weights, int64_t width) {
  const std::string start = data::has_prefix(weights, "mps.cross_model.")
                                ? "mps.cross_model.layers."
                                : "cross_model.layers.";
  const int64_t count = data::count_numbered(weights, start);
  if (count == 0)
    throw data::BadInput(weights.source + ": expected MPS's cross_model.layers.*, found none; " +
                         "convert the release's pickled module to safetensors first");
  std::vector<MpsLayer> layers;
  for (int64_t i = 0; i < count; ++i) {
    const std::string cross = start + std::to_string(i) + ".0.fn.",
                      self = start + std::to_string(i) + ".1.fn.";
    MpsLayer layer;
    layer.cross.norm = take_norm(weights, cross + "norm", width);
    layer.cross.to_q = nn::take_linear(weights, cross + "to_q", -1, width);
    const int64_t inner = layer.cross.to_q.weight.size(0);
    layer.cross.to_kv = nn::take_linear(weights, cross + "to_kv", -1, width);
    layer.cross.to_out = nn::take_linear(weights, cross + "to_out", width, inner);
    layer.cross.ff_in = nn::take_linear(weights, cross + "ff.0", -1, width);
    layer.cross.ff_out = nn::take_linear(weights, cross + "ff.2", width, -1);
    layer.self.norm = take_norm(weights, self + "norm", width);
    layer.self.fused = nn::take_linear(weights, self + "fused_attn_ff_proj", -1, width);
    layer.self.attn_out = nn::take_linear(weights, self + "attn_out", width, -1);
    layer.self.ff_out = nn::take_linear(weights, self + "ff_out.1", width, -1);
    layer.self.inv_freq = data::take(weights, self + "rotary_emb.inv_freq", {-1});
    layers.push_back(layer);
  }
  return layers;
}

at::Tensor mps_cross_forward(const std::vector<MpsLayer>& layers,
                             const at::Tensor& query,
                             const at::Tensor& context,
                             const at::Tensor& mask) {
  at::Tensor x = query;
  for (const auto& [cross, self] : layers)
    x = self_block(self, cross_block(cross, x, context, mask));
  return x;
}

at::Tensor mps_forward(const Mps& w,
                       const at::Tensor& x,
                       const at::Tensor& ids,
                       const at::Tensor& condition) {
  const auto text_tokens = [&](const at::Tensor& own) {
    return at::linear(nn::clip_text_forward(w.clip.text, own).hidden, w.clip.text_projection);
  };
  const at::Tensor text = text_tokens(ids);                                        // [B, L, P]
  const at::Tensor attributes = text_tokens(condition);                            // [1, L, P]
  const at::Tensor nearest = std::get<0>(text.matmul(attributes[0].t()).max(-1));  // [B, L]
  const at::Tensor similarity = nearest / std::get<0>(nearest.max(1, true));
  const at::Tensor mask =
      at::where(similarity > w.threshold, at::zeros_like(similarity),
                at::full_like(similarity, -std::numeric_limits<double>::infinity()));
  const at::Tensor seen =
      mps_cross_forward(w.layers, image_tokens(w.clip, x), text, mask).select(1, 0);
  const at::Tensor prompt =
      at::linear(nn::clip_text_forward(w.clip.text, ids).pooled, w.clip.text_projection);
  return w.clip.logit_scale.exp() * (unit(prompt) * unit(seen)).sum(1);
}

Reward mps_reward(const RewardSpec& spec, const RewardSources& sources) {
  Mps w;
  w.threshold = threshold_of(spec);
  const data::Weights weights = data::read_weights_file(spec.argument);
  const NamedClip named = rename_clip(weights);
  const ClipConfig config = infer_clip_config(named, nn::Activation::kGelu);
  w.clip = take_clip(named.weights, config);
  w.clip.transform.size = config.vision.image_size;
  w.layers = take_mps_layers(weights, config.projection_dim);
  move_to(w, sources.device);
  const auto place = spec.settings.find("tokenizer");
  data::Tokenizer tokenizer = data::load_tokenizer(
      place == spec.settings.end() ? sources.tokenizer : std::filesystem::path(place->second));
  tokenizer.max_length = config.text.max_position_embeddings;
  check_vocabulary(spec.argument, tokenizer.vocab.size(), config.text.vocab_size);
  const at::Device device = sources.device;
  const at::Tensor condition = data::encode(tokenizer, {kAttributes}).ids.to(device);
  const auto score = [w, tokenizer, condition, device](const RewardBatch& batch) {
    const at::Tensor x = preprocess(w.clip.transform, batch.images.to(device));
    const at::Tensor ids = data::encode(tokenizer, batch.prompts).ids.to(device);
    return mps_forward(w, x, ids, condition).to(batch.images.device());
  };
  return {.info = {.name = spec.name,
                   .unit = "logit",
                   .low = 0,
                   .high = 15,
                   .needs_prompt = true,
                   .differentiable = true,
                   .description = "human preference, overall (MPS, Zhang et al. 2024)",
                   .model = "CLIP and " + std::to_string(w.layers.size()) + " cross layers"},
          .score = score};
}

const FamilyEntry kMpsFamily{
    .name = "mps",
    .description = "MPS (overall): a safetensors file with cross_model.* beside the CLIP",
    .schemes = {"mps"},
    .settings = {"threshold", "tokenizer"},
    .make = [](const RewardSpec& spec, RewardLoader& loader) {
      return mps_reward(spec, loader.sources());
    }};

}  // namespace rewards
