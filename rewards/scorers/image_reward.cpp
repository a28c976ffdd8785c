#include "rewards/scorers/image_reward.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/weight_files.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr double kVisionEps = 1e-6, kTextEps = 1e-12;
constexpr double kRewardMean = 0.16717362830052426,
                 kDeviation = 1.0333394966054072;  // of the score
constexpr double kMasked = -10000;                 // BERT's
constexpr int64_t kLength = 35, kHeadWidth = 64;

BlipAttention take_attention(const data::Weights& weights,
                             const std::string& name,
                             int64_t width,
                             int64_t context) {
  BlipAttention w;
  w.query = nn::take_linear(weights, name + ".self.query", width, width);
  w.key = nn::take_linear(weights, name + ".self.key", width, context);
  w.value = nn::take_linear(weights, name + ".self.value", width, context);
  w.dense = nn::take_linear(weights, name + ".output.dense", width, width);
  w.norm = nn::take_norm(weights, name + ".output.LayerNorm", width);
  return w;
}

BlipVisionBlock take_vision_block(const data::Weights& weights,
                                  const std::string& name,
                                  int64_t width) {
  BlipVisionBlock w;
  w.norm1 = nn::take_norm(weights, name + ".norm1", width);
  w.norm2 = nn::take_norm(weights, name + ".norm2", width);
  w.qkv = nn::take_linear(weights, name + ".attn.qkv", 3 * width, width);
  w.proj = nn::take_linear(weights, name + ".attn.proj", width, width);
  w.fc1 = nn::take_linear(weights, name + ".mlp.fc1", -1, width);
  w.fc2 = nn::take_linear(weights, name + ".mlp.fc2", width, -1);
  return w;
}

BlipTextBlock take_text_block(const data::Weights& weights,
                              const std::string& name,
                              int64_t width,
                              int64_t context) {
  BlipTextBlock w;
  w.self = take_attention(weights, name + ".attention", width, width);
  w.cross = take_attention(weights, name + ".crossattention", width, context);
  w.intermediate = nn::take_linear(weights, name + ".intermediate.dense", -1, width);
  w.output = nn::take_linear(weights, name + ".output.dense", width, -1);
  w.norm = nn::take_norm(weights, name + ".output.LayerNorm", width);
  return w;
}

AestheticHead take_head(const data::Weights& weights) {
  data::Weights head;
  head.source = weights.source;
  for (const auto& [name, tensor] : weights.tensors) {
    if (name.starts_with("mlp.")) head.tensors[name.substr(4)] = tensor;
  }
  if (head.tensors.empty())
    throw data::BadInput(weights.source + ": expected ImageReward's head mlp.layers.*, found none");
  return folded(take_aesthetic(head));
}

// x: [B, L, E]; context: [B, N, C]; mask: undefined, or [B, 1, 1, N] added to the scores
at::Tensor attend(const BlipAttention& w,
                  const at::Tensor& x,
                  const at::Tensor& context,
                  int64_t heads,
                  const at::Tensor& mask) {
  const at::Tensor seen = nn::attention(nn::linear(w.query, x), nn::linear(w.key, context),
                                        nn::linear(w.value, context), heads, mask);
  return nn::layer_norm(w.norm, x + nn::linear(w.dense, seen), kTextEps);
}

template <class Visit>
void for_each(Blip& w, const Visit& visit) {
  const auto norm = [&](nn::Norm& n) { visit(n.weight), visit(n.bias); };
  const auto linear = [&](nn::Linear& l) { visit(l.weight), visit(l.bias); };
  visit(w.cls_token), visit(w.pos_embed), visit(w.patches.weight), visit(w.patches.bias);
  visit(w.words), visit(w.places), norm(w.vision_norm), norm(w.embedding_norm);
  for (auto& block : w.vision) {
    norm(block.norm1), norm(block.norm2);
    for (auto* layer : {&block.qkv, &block.proj, &block.fc1, &block.fc2}) linear(*layer);
  }
  for (auto& block : w.text) {
    for (auto* attention : {&block.self, &block.cross}) {
      norm(attention->norm);
      for (auto* layer : {&attention->query, &attention->key, &attention->value, &attention->dense})
        linear(*layer);
    }
    linear(block.intermediate), linear(block.output), norm(block.norm);
  }
  for (auto& layer : w.head.layers) linear(layer);
}

fs::path vocabulary_of(const RewardSpec& spec, const fs::path& folder) {
  const auto named = spec.settings.find("tokenizer");
  fs::path place = named == spec.settings.end() ? folder : fs::path(named->second);
  if (fs::is_directory(place)) place /= "vocab.txt";
  if (!fs::exists(place))
    throw data::BadInput(place.string() +
                         ": expected the vocabulary of bert-base-uncased, found nothing; put its "
                         "vocab.txt there or name it: ;tokenizer=FILE");
  return place;
}

}  // namespace

Blip take_blip(const data::Weights& all) {
  data::Weights weights;  // without "blip."
  weights.source = all.source;
  for (const auto& [name, tensor] : all.tensors)
    weights.tensors[name.starts_with("blip.") ? name.substr(5) : name] = tensor;
  Blip w;
  w.cls_token = data::take(weights, "visual_encoder.cls_token", {1, 1, -1});
  const int64_t width = w.cls_token.size(2);
  w.pos_embed = data::take(weights, "visual_encoder.pos_embed", {1, -1, width});
  const auto patch = weights.tensors.find("visual_encoder.patch_embed.proj.weight");
  const int64_t kernel = patch == weights.tensors.end() ? -1 : patch->second.size(-1);
  w.patches = nn::take_conv2d(weights, "visual_encoder.patch_embed.proj", width, 3, kernel);
  const std::string blocks = "visual_encoder.blocks.", layers = "text_encoder.encoder.layer.";
  for (int64_t i = 0; i < data::count_numbered(weights, blocks); ++i)
    w.vision.push_back(take_vision_block(weights, blocks + std::to_string(i), width));
  w.vision_norm = nn::take_norm(weights, "visual_encoder.norm", width);
  const std::string embeddings = "text_encoder.embeddings.";
  w.words = data::take(weights, embeddings + "word_embeddings.weight", {-1, -1});
  const int64_t text_width = w.words.size(1);
  w.places = data::take(weights, embeddings + "position_embeddings.weight", {-1, text_width});
  w.embedding_norm = nn::take_norm(weights, embeddings + "LayerNorm", text_width);
  for (int64_t i = 0; i < data::count_numbered(weights, layers); ++i)
    w.text.push_back(take_text_block(weights, layers + std::to_string(i), text_width, width));
  w.head = take_head(weights);
  w.vision_heads = std::max<int64_t>(1, width / kHeadWidth);
  w.text_heads = std::max<int64_t>(1, text_width / kHeadWidth);
  w.transform.fit = Fit::kTorchvision;
  const double side = std::sqrt(static_cast<double>(w.pos_embed.size(1) - 1));
  w.transform.size = std::lround(side) * kernel;
  return w;
}

at::Tensor blip_vision_forward(const Blip& w, const at::Tensor& x) {
  const int64_t patch = w.patches.weight.size(2);
  const at::Tensor patches = nn::conv2d(w.patches, x, patch, 0).flatten(2).transpose(1, 2);
  const at::Tensor first = w.cls_token.expand({x.size(0), 1, -1});
  at::Tensor y = at::cat({first, patches}, 1) + w.pos_embed;  // [B, 1 + patches, D]
  for (const auto& block : w.vision) {
    const auto qkv = nn::linear(block.qkv, nn::layer_norm(block.norm1, y, kVisionEps)).chunk(3, -1);
    y = y + nn::linear(block.proj, nn::attention(qkv[0], qkv[1], qkv[2], w.vision_heads, {}));
    const at::Tensor inner = nn::linear(block.fc1, nn::layer_norm(block.norm2, y, kVisionEps));
    y = y + nn::linear(block.fc2, at::gelu(inner));
  }
  return nn::layer_norm(w.vision_norm, y, kVisionEps);
}

at::Tensor blip_score(const Blip& w,
                      const at::Tensor& ids,
                      const at::Tensor& mask,
                      const at::Tensor& image) {
  data::check_shape(ids, {image.size(0), -1}, "blip_score: ids");
  data::check_shape(mask, {image.size(0), ids.size(1)}, "blip_score: mask");
  const at::Tensor embedded = at::embedding(w.words, ids) + w.places.slice(0, 0, ids.size(1));
  at::Tensor x = nn::layer_norm(w.embedding_norm, embedded, kTextEps);  // [B, L, E]
  const at::Tensor added =
      ((1 - mask.to(image.scalar_type())) * kMasked).view({mask.size(0), 1, 1, mask.size(1)});
  for (const auto& block : w.text) {
    x = attend(block.self, x, x, w.text_heads, added);
    x = attend(block.cross, x, image, w.text_heads, {});
    const at::Tensor inner = at::gelu(nn::linear(block.intermediate, x));
    x = nn::layer_norm(block.norm, x + nn::linear(block.output, inner), kTextEps);
  }
  return (aesthetic_forward(w.head, x.select(1, 0)) - kRewardMean) / kDeviation;
}

Reward image_reward(const RewardSpec& spec, at::Device device) {
  const fs::path path = spec.argument;
  const fs::path file = !fs::is_directory(path)               ? path
                        : fs::exists(path / "ImageReward.pt") ? path / "ImageReward.pt"
                                                              : path / "model.safetensors";
  Blip blip = take_blip(data::read_weights_file(file));
  for_each(blip, [device](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(device);
  });
  const data::WordPiece tokenizer = data::load_wordpiece(vocabulary_of(spec, file.parent_path()));
  check_vocabulary(file, tokenizer.vocab.size(), blip.words.size(0));
  const auto score = [blip, tokenizer, device](const RewardBatch& batch) {
    TORCH_CHECK(static_cast<int64_t>(batch.prompts.size()) == batch.images.size(0),
                "imagereward: expected a prompt for each image");
    const at::Tensor images = batch.images.to(device);
    const auto tokens = data::encode_padded(tokenizer, batch.prompts, kLength);
    const at::Tensor seen = blip_vision_forward(blip, preprocess(blip.transform, images));
    return blip_score(blip, tokens.ids.to(device), tokens.mask.to(device), seen)
        .to(batch.images.device());
  };
  return {.info = {.name = spec.name,
                   .unit = "standardised",
                   .low = -2,
                   .high = 2,
                   .needs_prompt = true,
                   .differentiable = true,
                   .description = "human preference (ImageReward, Xu et al. 2023)",
                   .model = "BLIP, ViT of " + std::to_string(blip.vision.size()) +
                            " blocks, BERT of " + std::to_string(blip.text.size())},
          .score = score};
}

const FamilyEntry kImageRewardFamily{
    .name = "imagereward",
    .description = "ImageReward: ImageReward.pt with vocab.txt of bert-base-uncased beside it",
    .schemes = {"imagereward"},
    .settings = {"tokenizer"},
    .make = [](const RewardSpec& spec, RewardLoader& loader) {
      return image_reward(spec, loader.sources().device);
    }};

}  // namespace rewards
