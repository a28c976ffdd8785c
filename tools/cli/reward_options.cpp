#include "tools/cli/reward_options.hpp"

#include "tools/cli/models.hpp"

namespace tools {

void declare_reward_sources(Options& options,
                            RewardSourceConfig& config,
                            Rarity weights,
                            Rarity define) {
  options.rare(weights).text("clip", config.clip, "CLIP folder, Hugging Face's layout [embedded]");
  options.rare(weights).text("aesthetic", config.aesthetic,
                             "aesthetic head for that CLIP [embedded]");
  options.rare(weights).text("social", config.social, "social reward, a CLIP folder [embedded]");
  options.rare(weights).text("lvlm", config.lvlm, "student of a judge, for that CLIP [embedded]");
  options.rare().integer("jpeg_quality", config.jpeg_quality, "of the jpeg rewards", 1, 100);
  options.rare(define).list("define", config.define,
                            "a reward: NAME=program:COMMAND, http://..., FAMILY:PATH or a formula");
  options.rare().integer("outside_workers", config.outside_workers, "programs at once", 1, 1024);
  options.rare().number("outside_timeout", config.outside_timeout, "seconds for an answer", 0.001,
                        1e6);
  options.rare().number("outside_patience", config.outside_patience,
                        "seconds that a failing server is waited for", 0, 1e9);
  options.rare().flag("allow_remote", config.allow_remote,
                      "send images to servers on other machines");
}

rewards::RewardSources reward_sources(const RewardSourceConfig& config, at::Device device) {
  rewards::RewardSources sources;
  sources.clip = config.clip;
  sources.aesthetic = config.aesthetic;
  sources.social = config.social;
  sources.lvlm = config.lvlm;
  sources.jpeg_quality = config.jpeg_quality;
  sources.device = device;
  sources.definitions = config.define;
  sources.outside.workers = config.outside_workers;
  sources.outside.seconds = config.outside_timeout;
  sources.outside.patience = config.outside_patience;
  sources.outside.any_host = config.allow_remote;
  const auto models = embedded_models();
  if (models.empty()) return sources;
  sources.tokenizer = models / "clip-tokenizer";
  if (config.clip.empty()) sources.clip = models / "tiny-world" / "clip";
  if (config.aesthetic.empty()) sources.aesthetic = models / "rewards" / "aesthetic.safetensors";
  if (config.lvlm.empty()) sources.lvlm = models / "rewards" / "lvlm";
  if (config.social.empty()) sources.social = models / "rewards" / "social";
  return sources;
}

}  // namespace tools
