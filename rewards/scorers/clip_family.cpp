#include "rewards/scorers/clip_family.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "rewards/clip/layouts.hpp"
#include "rewards/scorers/clip_score.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

struct Published {
  std::string scale;                  // of its numbers
  double low, high;                   // cosines that are usual
  std::optional<Fit> fit;             // absent: as the file says
  std::optional<nn::Activation> act;  // where no config tells
  std::string description;
};

const Published& published(const std::string& kind) {
  static const std::map<std::string, Published> all = {
      {"clip", {"x100", 0.0, 1.0, {}, {}, "how well CLIP finds the prompt in the image"}},
      {"social",
       {"cosine", 0.0, 0.5, Fit::kTorchvision, nn::Activation::kQuickGelu,
        "what a community reuses (Social Reward, 2024)"}},
      {"hpsv2",
       {"cosine", 0.13, 0.34, Fit::kLetterbox, nn::Activation::kGelu,
        "human preference (HPSv2, Wu et al. 2023)"}},
      {"pickscore",
       {"logit", 0.18, 0.24, Fit::kHuggingFace, nn::Activation::kGelu,
        "human preference (PickScore, Kirstain et al. 2023)"}},
      {"mps", {"logit", 0.0, 0.25, Fit::kHuggingFace, nn::Activation::kGelu, ""}},
      {"aesthetic", {"", 0, 0, Fit::kTorchvision, nn::Activation::kQuickGelu, ""}},
  };
  return all.at(kind);
}

std::string setting(const std::map<std::string, std::string>& settings,
                    const std::string& key,
                    const std::string& otherwise) {
  const auto found = settings.find(key);
  return found == settings.end() ? otherwise : found->second;
}

fs::path tokenizer_of(const OpenedClip& opened,
                      const std::map<std::string, std::string>& settings,
                      const FamilyOptions& options) {
  const std::string named = setting(settings, "tokenizer", "");
  if (!named.empty()) return named;
  for (const fs::path& place :
       {opened.folder, opened.folder / "tokenizer", opened.folder / ".." / "tokenizer"}) {
    if (fs::exists(place / "vocab.json") || fs::exists(place / "tokenizer.json")) return place;
  }
  if (options.tokenizer.empty())
    throw data::BadInput(opened.folder.string() +
                         ": no tokenizer beside the CLIP; name its folder: ;tokenizer=FOLDER");
  return options.tokenizer;
}

double factor(const std::string& scale, double logit_scale, const std::string& name) {
  if (scale == "cosine") return 1;
  if (scale == "x100") return 100;
  if (scale == "logit") return std::exp(logit_scale);
  if (scale == "logit/26") return std::exp(logit_scale) / 26;
  throw data::BadInput("reward " + name +
                       ": scale: expected cosine, x100, logit or logit/26, found '" + scale + "'");
}

}  // namespace

FamilyClip open_family_clip(const std::string& kind,
                            const fs::path& path,
                            const std::map<std::string, std::string>& settings,
                            const FamilyOptions& options) {
  const Published& as = published(kind);
  ClipOpening opening{.act = {}, .trace = options.trace};
  const bool config = fs::is_directory(path);
  if (settings.contains("act"))
    opening.act = nn::activation_by_name(settings.at("act"), kind + ": act");
  else if (!config)
    opening.act = as.act;
  OpenedClip opened = open_clip_model(path, opening);
  if (as.fit) opened.clip.transform.fit = *as.fit;
  const std::string antialias = setting(settings, "antialias", "yes");
  if (antialias != "yes" && antialias != "no")
    throw data::BadInput(kind + ": antialias: expected yes or no, found '" + antialias + "'");
  opened.clip.transform.antialias = antialias == "yes";
  data::Tokenizer tokenizer = data::load_tokenizer(tokenizer_of(opened, settings, options));
  tokenizer.max_length = opened.clip.text.config.max_position_embeddings;
  const auto vocabulary = static_cast<int64_t>(tokenizer.vocab.size());
  if (vocabulary > opened.clip.text.config.vocab_size)
    throw data::BadInput(path.string() + ": the tokenizer knows " + std::to_string(vocabulary) +
                         " symbols, the model " +
                         std::to_string(opened.clip.text.config.vocab_size) +
                         "; name the right one: ;tokenizer=FOLDER");
  return {std::make_shared<ClipEmbedder>(opened.clip, std::move(tokenizer), options.device),
          opened.description};
}

Reward clip_family_reward(const RewardSpec& definition, const FamilyOptions& options) {
  const Published& as = published(definition.kind);
  const FamilyClip opened =
      open_family_clip(definition.kind, definition.what, definition.settings, options);
  const std::string scale = setting(definition.settings, "scale", as.scale);
  const double times = factor(scale, opened.clip->logit_scale(), definition.name);
  Reward reward;
  reward.info = {.name = definition.name,
                 .unit = scale == "x100" ? "cosine x 100" : scale,
                 .low = as.low * times,
                 .high = as.high * times,
                 .needs_prompt = true,
                 .differentiable = true,
                 .description = as.description,
                 .model = opened.description};
  const auto clip = opened.clip;
  reward.score = [clip, times](const RewardBatch& batch) {
    return times / 100 * clip_score_reward(clip).score(batch);
  };
  return reward;
}

}  // namespace rewards
