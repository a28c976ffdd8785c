#pragma once

// The scorers that are a CLIP: CLIP score, HPSv2 and v2.1, PickScore, Social Reward. They differ in
// preprocessing, activation and unit alone.

#include <functional>
#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/custom/reward_spec.hpp"
#include "rewards/reward.hpp"

namespace rewards {

struct FamilyOptions {
  std::filesystem::path tokenizer;  // CLIP's own vocabulary, for files without one beside them
  at::Device device = at::kCPU;
  std::function<void(const std::string& line)> trace{};  // see ClipOpening
};

struct FamilyClip {
  std::shared_ptr<ClipEmbedder> clip;
  std::string description;
};
// The CLIP at `path`, opened as `kind` (a family's name) is published: activation, fit, tokenizer.
// `settings` override.
FamilyClip open_family_clip(const std::string& kind,
                            const std::filesystem::path& path,
                            const std::map<std::string, std::string>& settings,
                            const FamilyOptions& options);

// clip, social, hpsv2 and pickscore. Units (;scale=): cosine, x100, logit (times exp(logit_scale)),
// logit/26.
Reward clip_family_reward(const RewardSpec& definition, const FamilyOptions& options);

}  // namespace rewards
