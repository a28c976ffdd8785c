#include "rewards/scorers/aesthetic.hpp"

#include <ATen/ATen.h>

#include <array>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/weight_files.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace rewards {
namespace {

constexpr std::array<int64_t, 5> kOutputs = {1024, 128, 64, 16, 1};
constexpr std::array<double, 3> kDropout = {0.2, 0.2, 0.1};  // after layers 0, 1, 2

// Names of the layers: their positions in the original's nn.Sequential, which counts dropouts and
// activations too.
std::vector<std::string> layer_names(AestheticForm form, const std::string& prefix) {
  if (form == AestheticForm::kLinear) return {prefix};
  std::vector<std::string> names;
  for (const int position :
       form == AestheticForm::kLinearMlp ? std::array{0, 2, 4, 6, 7} : std::array{0, 3, 6, 9, 11}) {
    names.push_back(prefix + "layers." + std::to_string(position) + ".");
  }
  return names;
}

nn::Linear take_layer(const data::Weights& weights,
                      const std::string& name,
                      int64_t out,
                      int64_t in) {
  return {.weight = data::take(weights, name + "weight", {out, in}),
          .bias = data::take(weights, name + "bias", {out}),
          .lora = {}};
}

AestheticForm form_of(const data::Weights& weights) {
  if (data::has(weights, "layers.7.weight")) return AestheticForm::kLinearMlp;
  if (data::has(weights, "layers.11.weight")) return AestheticForm::kReluMlp;
  if (data::has(weights, "weight")) return AestheticForm::kLinear;
  throw data::BadInput(weights.source +
                       ": not an aesthetic head (expected tensors layers.{0,2,4,6,7}.weight, "
                       "layers.{0,3,6,9,11}.weight or weight); `laurel inspect` tells what it is");
}

at::Tensor drop(const at::Tensor& x, double probability, at::Generator& generator) {
  return x * at::empty_like(x).bernoulli_(1 - probability, generator) / (1 - probability);
}

at::Tensor forward(const AestheticHead& head, const at::Tensor& embedding, at::Generator* dropout) {
  data::check_shape(embedding, {-1, embedding_width(head)}, "aesthetic_forward: embedding");
  at::Tensor x = embedding;  // [B, D]
  for (size_t i = 0; i < head.layers.size(); ++i) {
    x = nn::linear(head.layers[i], x);
    const bool hidden = i + 2 < head.layers.size();  // nothing stands between the last two layers
    if (hidden && head.form == AestheticForm::kReluMlp) x = x.relu();
    if (hidden && dropout) x = drop(x, kDropout[i], *dropout);
  }
  return x.squeeze(1);
}

}  // namespace

AestheticHead take_aesthetic(const data::Weights& weights) {
  AestheticHead head{.form = form_of(weights), .layers = {}};
  const auto names = layer_names(head.form, "");
  int64_t in = -1;
  for (size_t i = 0; i < names.size(); ++i) {
    const int64_t out = names.size() == 1 ? 1 : kOutputs[i];
    head.layers.push_back(take_layer(weights, names[i], out, in));
    in = out;
  }
  return head;
}

AestheticHead load_aesthetic(const std::filesystem::path& path) {
  return take_aesthetic(data::read_weights_file(path));
}

AestheticHead make_aesthetic(AestheticForm form, int64_t width, at::Generator& generator) {
  AestheticHead head{.form = form, .layers = {}};
  if (form == AestheticForm::kLinear) {
    head.layers.push_back(nn::make_linear(1, width, true, generator));
    return head;
  }
  for (const int64_t out : kOutputs) {
    head.layers.push_back(nn::make_linear(out, width, true, generator));
    width = out;
  }
  return head;
}

void for_each_tensor(AestheticHead& head,
                     const std::string& prefix,
                     const data::TensorVisitor& visit) {
  const auto names = layer_names(head.form, prefix);
  for (size_t i = 0; i < head.layers.size(); ++i) {
    visit(names[i] + "weight", head.layers[i].weight);
    visit(names[i] + "bias", head.layers[i].bias);
  }
}

AestheticHead folded(const AestheticHead& head) {
  if (head.form != AestheticForm::kLinearMlp) return head;
  at::Tensor weight = head.layers[0].weight.to(at::kDouble);  // [out, D]
  at::Tensor bias = head.layers[0].bias.to(at::kDouble);      // [out]
  for (size_t i = 1; i < head.layers.size(); ++i) {
    const at::Tensor next = head.layers[i].weight.to(at::kDouble);
    weight = next.mm(weight);
    bias = next.mv(bias) + head.layers[i].bias.to(at::kDouble);
  }
  const at::ScalarType dtype = head.layers[0].weight.scalar_type();
  return {.form = AestheticForm::kLinear, .layers = {{weight.to(dtype), bias.to(dtype), {}}}};
}

int64_t embedding_width(const AestheticHead& head) { return head.layers.front().weight.size(1); }

at::Tensor aesthetic_forward(const AestheticHead& head, const at::Tensor& embedding) {
  return forward(head, embedding, nullptr);
}

at::Tensor aesthetic_forward_training(const AestheticHead& head,
                                      const at::Tensor& embedding,
                                      at::Generator& generator) {
  return forward(head, embedding, &generator);
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
  return {.info = kAestheticEntry.info, .score = score};
}

namespace {

constexpr WeightsOption kWeights{
    .flag = "aesthetic",
    .help = "aesthetic head for that CLIP",
    .embedded = "rewards/aesthetic.safetensors",
    .missing =
        "a head trained by `laurel train-reward aesthetic`; name its file (--aesthetic FILE)"};

// The CLIP that LAION's heads were trained on, for files without a config.
constexpr PublishedClip kClipOfTheHead{.fit = Fit::kTorchvision, .act = nn::Activation::kQuickGelu};

Reward make_defined(const RewardSpec& spec, RewardLoader& loader) {
  const auto clip = spec.settings.find("clip");
  Reward reward;
  if (clip == spec.settings.end()) {
    reward = aesthetic_reward(loader.clip(), spec.argument);
  } else {
    const FamilyClip opened =
        open_family_clip(kClipOfTheHead, clip->second, spec, loader.sources());
    reward = aesthetic_reward(opened.clip, spec.argument);
    reward.info.model = opened.description;
  }
  reward.info.name = spec.name;
  return reward;
}

}  // namespace

const RewardEntry kAestheticEntry{
    .info = {.name = "aesthetic",
             .unit = "1-10",
             .low = 1,
             .high = 10,
             .differentiable = true,
             .description = "mean rating predicted from the CLIP embedding (LAION's form)"},
    .weights = kWeights,
    .reads_clip = true,
    .make = [](RewardLoader& loader) {
      const auto& head = loader.weights(kWeights);
      return aesthetic_reward(loader.clip(), head);
    }};

const FamilyEntry kAestheticFamily{
    .name = "aesthetic",
    .description = "LAION's aesthetic head v1 or v2, a file; ;clip=PATH names the CLIP under it",
    .schemes = {"aesthetic"},
    .settings = {"clip", "act", "antialias", "tokenizer"},
    .reads_clip = true,
    .make = make_defined};

}  // namespace rewards
