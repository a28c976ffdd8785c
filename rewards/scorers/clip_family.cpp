#include "rewards/scorers/clip_family.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "rewards/clip/layouts.hpp"
#include "rewards/clip/open.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/scorers/clip_score.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

std::string setting(const std::map<std::string, std::string>& settings,
                    const std::string& key,
                    const std::string& otherwise) {
  const auto found = settings.find(key);
  return found == settings.end() ? otherwise : found->second;
}

fs::path tokenizer_of(const OpenedClip& opened,
                      const std::map<std::string, std::string>& settings,
                      const RewardSources& sources) {
  const std::string named = setting(settings, "tokenizer", "");
  if (!named.empty()) return named;
  for (const fs::path& place :
       {opened.folder, opened.folder / "tokenizer", opened.folder / ".." / "tokenizer"}) {
    if (fs::exists(place / "vocab.json") || fs::exists(place / "tokenizer.json")) return place;
  }
  if (sources.tokenizer.empty())
    throw data::BadInput(opened.folder.string() +
                         ": no tokenizer beside the CLIP; name its folder: ;tokenizer=FOLDER");
  return sources.tokenizer;
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

void check_vocabulary(const fs::path& model, size_t known, int64_t embedded) {
  if (static_cast<int64_t>(known) > embedded)
    throw data::BadInput(model.string() + ": the tokenizer knows " + std::to_string(known) +
                         " symbols, the model " + std::to_string(embedded) +
                         "; name the right one: ;tokenizer=PATH");
}

FamilyClip open_family_clip(const PublishedClip& published,
                            const fs::path& path,
                            const RewardSpec& spec,
                            const RewardSources& sources) {
  const auto& settings = spec.settings;
  const std::string family = spec.family->name;
  ClipOpening opening{.act = {}, .trace = sources.trace};
  const bool config = fs::is_directory(path);
  if (settings.contains("act"))
    opening.act = nn::activation_by_name(settings.at("act"), family + ": act");
  else if (!config)
    opening.act = published.act;
  OpenedClip opened = open_clip_model(path, opening);
  if (published.fit) opened.clip.transform.fit = *published.fit;
  const std::string antialias = setting(settings, "antialias", "yes");
  if (antialias != "yes" && antialias != "no")
    throw data::BadInput(family + ": antialias: expected yes or no, found '" + antialias + "'");
  opened.clip.transform.antialias = antialias == "yes";
  data::Tokenizer tokenizer = data::load_tokenizer(tokenizer_of(opened, settings, sources));
  tokenizer.max_length = opened.clip.text.config.max_position_embeddings;
  check_vocabulary(path, tokenizer.vocab.size(), opened.clip.text.config.vocab_size);
  return {std::make_shared<ClipEmbedder>(opened.clip, std::move(tokenizer), sources.device),
          opened.description};
}

Reward clip_family_reward(const PublishedClip& published,
                          const RewardSpec& spec,
                          const RewardSources& sources) {
  const FamilyClip opened = open_family_clip(published, spec.argument, spec, sources);
  const std::string scale = setting(spec.settings, "scale", published.scale);
  const double times = factor(scale, opened.clip->logit_scale(), spec.name);
  Reward reward;
  reward.info = {.name = spec.name,
                 .unit = scale == "x100" ? "cosine x 100" : scale,
                 .low = published.low * times,
                 .high = published.high * times,
                 .needs_prompt = true,
                 .differentiable = true,
                 .description = published.description,
                 .model = opened.description};
  const auto clip = opened.clip;
  reward.score = [clip, times](const RewardBatch& batch) {
    return times / 100 * clip_score_reward(clip).score(batch);
  };
  return reward;
}

namespace {

constexpr PublishedClip kClip{.scale = "x100",
                              .description = "how well CLIP finds the prompt in the image"};
constexpr PublishedClip kSocial{.high = 0.5,
                                .fit = Fit::kTorchvision,
                                .act = nn::Activation::kQuickGelu,
                                .description = "what a community reuses (Social Reward, 2024)"};
constexpr PublishedClip kHpsv2{.low = 0.13,
                               .high = 0.34,
                               .fit = Fit::kLetterbox,
                               .act = nn::Activation::kGelu,
                               .description = "human preference (HPSv2, Wu et al. 2023)"};
constexpr PublishedClip kPickscore{
    .scale = "logit",
    .low = 0.18,
    .high = 0.24,
    .fit = Fit::kHuggingFace,
    .act = nn::Activation::kGelu,
    .description = "human preference (PickScore, Kirstain et al. 2023)"};

const std::vector<std::string> kSettings = {"act", "scale", "antialias", "tokenizer"};

template <const PublishedClip& published>
Reward make(const RewardSpec& spec, RewardLoader& loader) {
  const auto members = listed_members(spec.argument);
  if (members.empty()) return clip_family_reward(published, spec, loader.sources());
  std::vector<Reward> parts;
  for (const auto& member : members) {
    RewardSpec own = spec;
    own.argument = member.weights.string();
    parts.push_back(clip_family_reward(published, own, loader.sources()));
  }
  return ensemble_reward(parts[0].info, parts);
}

}  // namespace

const FamilyEntry kClipFamily{
    .name = "clip",
    .description =
        "CLIP score: a folder or file of any CLIP (Hugging Face, OpenCLIP, OpenAI's .pt)",
    .schemes = {"clip"},
    .settings = kSettings,
    .make = make<kClip>};
const FamilyEntry kSocialFamily{
    .name = "social",
    .description = "Social Reward: OpenAI's CLIP L/14 finetuned, a file",
    .schemes = {"social"},
    .settings = kSettings,
    .make = make<kSocial>};
const FamilyEntry kHpsv2Family{
    .name = "hpsv2",
    .description = "HPSv2 and v2.1: HPS_v2_compressed.pt, HPS_v2.1_compressed.pt",
    .schemes = {"hpsv2"},
    .settings = kSettings,
    .make = make<kHpsv2>};
const FamilyEntry kPickscoreFamily{.name = "pickscore",
                                   .description = "PickScore: its Hugging Face folder or file",
                                   .schemes = {"pickscore"},
                                   .settings = kSettings,
                                   .make = make<kPickscore>};

}  // namespace rewards
