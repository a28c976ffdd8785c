#include "tools/reward_options.hpp"

#include "tools/models.hpp"

namespace tools {

void declare_reward_sources(Options& options, RewardSourceConfig& config) {
  options.text("clip", config.clip, "CLIP folder, Hugging Face's layout [embedded]");
  options.text("aesthetic", config.aesthetic, "aesthetic head for that CLIP [embedded]");
  options.text("social", config.social, "social reward, a CLIP folder [embedded]");
  options.text("lvlm", config.lvlm, "student of a judge, for that CLIP [embedded]");
  options.integer("jpeg_quality", config.jpeg_quality, "of the jpeg rewards", 1, 100);
}

rewards::RewardSources reward_sources(const RewardSourceConfig& config, at::Device device) {
  rewards::RewardSources sources;
  sources.clip = config.clip;
  sources.aesthetic = config.aesthetic;
  sources.social = config.social;
  sources.lvlm = config.lvlm;
  sources.jpeg_quality = config.jpeg_quality;
  sources.device = device;
  const auto models = embedded_models();
  if (models.empty()) return sources;
  if (config.clip.empty()) sources.clip = models / "tiny-world" / "clip";
  if (config.aesthetic.empty()) sources.aesthetic = models / "rewards" / "aesthetic.safetensors";
  if (config.lvlm.empty()) sources.lvlm = models / "rewards" / "lvlm";
  if (config.social.empty()) sources.social = models / "rewards" / "social";
  return sources;
}

}  // namespace tools
