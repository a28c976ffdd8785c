#include "rewards/scorers/aesthetic.hpp"

#include <ATen/ATen.h>

#include <array>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/weight_files.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace fs = std::filesystem;

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

std::string prefix_of_member(int64_t member) { return "members." + std::to_string(member) + "."; }

AestheticForm form_of(const data::Weights& weights, const std::string& prefix) {
  if (data::has(weights, prefix + "layers.7.weight")) return AestheticForm::kLinearMlp;
  if (data::has(weights, prefix + "layers.11.weight")) return AestheticForm::kReluMlp;
  if (data::has(weights, prefix + "weight")) return AestheticForm::kLinear;
  throw data::BadInput(weights.source + ": not an aesthetic head (expected tensors " + prefix +
                       "layers.{0,2,4,6,7}.weight, "
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

void check_width(const AestheticHead& head, const ClipEmbedder& clip, const std::string& source) {
  if (embedding_width(head) == clip.width()) return;
  throw data::BadInput(source + ": expected a head for CLIP embeddings of width " +
                       std::to_string(clip.width()) + ", found " +
                       std::to_string(embedding_width(head)) +
                       "; give the CLIP that it was trained on (--clip)");
}

}  // namespace

AestheticHead take_aesthetic(const data::Weights& weights, const std::string& prefix) {
  AestheticHead head{.form = form_of(weights, prefix), .layers = {}};
  const auto names = layer_names(head.form, prefix);
  int64_t in = -1;
  for (size_t i = 0; i < names.size(); ++i) {
    const int64_t out = names.size() == 1 ? 1 : kOutputs[i];
    head.layers.push_back(take_layer(weights, names[i], out, in));
    in = out;
  }
  return head;
}

std::vector<AestheticHead> load_aesthetic(const std::filesystem::path& path) {
  return take_aesthetic_members(data::read_weights_file(path));
}

std::vector<AestheticHead> take_aesthetic_members(const data::Weights& weights) {
  const int64_t count = data::count_numbered(weights, "members.");
  if (count == 0) return {take_aesthetic(weights)};
  if (count > kMostMembers)
    throw data::BadInput(weights.source + ": expected at most " + std::to_string(kMostMembers) +
                         " members, found " + std::to_string(count));
  std::vector<AestheticHead> members;
  for (int64_t m = 0; m < count; ++m) {
    members.push_back(take_aesthetic(weights, prefix_of_member(m)));
    const int64_t width = embedding_width(members.back()), first = embedding_width(members[0]);
    if (width != first)
      throw data::BadInput(weights.source + ": expected members for one CLIP, of width " +
                           std::to_string(first) + ", found member " + std::to_string(m + 1) +
                           " for width " + std::to_string(width) +
                           "; members of different CLIPs go into a folder (--vary clip)");
  }
  return members;
}

data::Weights aesthetic_file(const std::vector<AestheticHead>& members) {
  if (members.size() == 1) return data::collect(members[0], "", at::kHalf);
  data::Weights file;
  for (size_t m = 0; m < members.size(); ++m) {
    data::Weights one =
        data::collect(members[m], prefix_of_member(static_cast<int64_t>(m)), at::kHalf);
    file.metadata = one.metadata;
    file.tensors.merge(one.tensors);
  }
  return file;
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

Reward aesthetic_reward(const std::shared_ptr<ClipEmbedder>& clip, const fs::path& path) {
  return aesthetic_reward(clip, load_aesthetic(path), path.string());
}

Reward aesthetic_reward(const std::shared_ptr<ClipEmbedder>& clip,
                        std::vector<AestheticHead> heads,
                        const std::string& source) {
  for (auto& head : heads) {
    check_width(head, *clip, source);
    head = folded(head);
    for_each_tensor(head, "", [&](const std::string&, at::Tensor& tensor) {
      tensor = tensor.to(clip->device());
    });
  }
  const auto scores = [clip, heads](const RewardBatch& batch) {
    const at::Tensor embeddings = clip->images(batch.images);
    std::vector<at::Tensor> columns;
    for (const auto& head : heads) columns.push_back(aesthetic_forward(head, embeddings));
    return at::stack(columns, 1).to(batch.images.device());
  };
  if (heads.size() > 1)
    return ensemble_reward(kAestheticEntry.info, static_cast<int64_t>(heads.size()), scores);
  const auto score = [scores](const RewardBatch& batch) { return scores(batch).squeeze(1); };
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

// Heads of several CLIPs, a folder of them.
Reward listed_reward(const std::vector<ListedMember>& members, RewardLoader& loader) {
  std::vector<Reward> parts;
  for (const auto& [weights, clip] : members)
    parts.push_back(aesthetic_reward(clip.empty() ? loader.clip() : loader.clip_in(clip), weights));
  return ensemble_reward(kAestheticEntry.info, parts);
}

Reward make_from(const fs::path& path, RewardLoader& loader) {
  const auto members = listed_members(path);
  return members.empty() ? aesthetic_reward(loader.clip(), path) : listed_reward(members, loader);
}

Reward make_defined(const RewardSpec& spec, RewardLoader& loader) {
  const auto clip = spec.settings.find("clip");
  Reward reward;
  if (clip == spec.settings.end()) {
    reward = make_from(spec.argument, loader);
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
    .make = [](RewardLoader& loader) { return make_from(loader.weights(kWeights), loader); }};

const FamilyEntry kAestheticFamily{
    .name = "aesthetic",
    .description = "LAION's aesthetic head v1 or v2, a file; ;clip=PATH names the CLIP under it",
    .schemes = {"aesthetic"},
    .settings = {"clip", "act", "antialias", "tokenizer"},
    .reads_clip = true,
    .make = make_defined};

}  // namespace rewards
