#pragma once

// Scorers that are a CLIP: CLIP score, HPSv2 and v2.1, PickScore, Social Reward. They differ only
// in preprocessing, activation and unit.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "data/nn/clip_config.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/clip/image_transform.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/loader/sources.hpp"

namespace rewards {

// How a scorer was published. A config beside the file overrides the activation.
struct PublishedClip {
  const char* scale = "cosine";         // unit of its scores: cosine, x100, logit, logit/26
  double low = 0, high = 1;             // usual range of the cosine
  std::optional<Fit> fit{};             // unset: as the file says
  std::optional<nn::Activation> act{};  // for a file without a config
  const char* description = "";
};

struct FamilyClip {
  std::shared_ptr<ClipEmbedder> clip;
  std::string description;
};
// The CLIP at `path` with the activation, fit and tokenizer that were published. spec.settings
// override them.
FamilyClip open_family_clip(const PublishedClip& published,
                            const std::filesystem::path& path,
                            const RewardSpec& spec,
                            const RewardSources& sources);

// Throws BadInput naming the model where its tokenizer knows more symbols than it embeds.
void check_vocabulary(const std::filesystem::path& model, size_t known, int64_t embedded);

// The scores of the CLIP at spec.argument. Units (;scale=): cosine, x100, logit (times
// exp(logit_scale)), logit/26.
Reward clip_family_reward(const PublishedClip& published,
                          const RewardSpec& spec,
                          const RewardSources& sources);

extern const FamilyEntry kClipFamily, kSocialFamily, kHpsv2Family, kPickscoreFamily;

}  // namespace rewards
