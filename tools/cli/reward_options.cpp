#include "tools/cli/reward_options.hpp"

#include "tools/cli/models.hpp"

namespace fs = std::filesystem;

namespace tools {

void declare_reward_sources(Options& options,
                            RewardSourceConfig& config,
                            Rarity weights,
                            Rarity define) {
  options.rare(weights).text("clip", config.clip, "CLIP folder, Hugging Face's layout [embedded]");
  for (const auto* entry : rewards::reward_entries()) {
    if (!entry->weights) continue;
    const std::string flag = entry->weights->flag;
    options.rare(weights).text(flag, config.weights[flag],
                               std::string(entry->weights->help) + " [embedded]");
  }
  options.rare().integer("jpeg_quality", config.jpeg_quality, "of the jpeg rewards", 1, 100);
  options.rare(define).list("define", config.define,
                            "a reward: NAME=program:COMMAND, http://..., FAMILY:PATH or a formula");
  options.rare().integer("outside_workers", config.external_workers, "programs at once", 1, 1024);
  options.rare().number("outside_timeout", config.external_timeout, "seconds for an answer", 0.001,
                        1e6);
  options.rare().number("outside_patience", config.external_patience,
                        "seconds to wait for a failing server", 0, 1e9);
  options.rare().flag("allow_remote", config.allow_remote,
                      "send images to servers on other machines");
}

rewards::RewardSources reward_sources(const RewardSourceConfig& config, at::Device device) {
  rewards::RewardSources sources{.clip = config.clip,
                                 .jpeg_quality = config.jpeg_quality,
                                 .device = device,
                                 .definitions = config.define,
                                 .external = {.workers = config.external_workers,
                                              .seconds = config.external_timeout,
                                              .patience = config.external_patience,
                                              .any_host = config.allow_remote}};
  for (const auto& [flag, path] : config.weights) {
    if (!path.empty()) sources.weights[flag] = path;
  }
  const fs::path models = embedded_models();
  if (models.empty()) return sources;
  sources.tokenizer = models / "clip-tokenizer";
  if (sources.clip.empty()) sources.clip = models / "tiny-world" / "clip";
  for (const auto* entry : rewards::reward_entries()) {
    if (entry->weights)
      sources.weights.emplace(entry->weights->flag, models / entry->weights->embedded);
  }
  return sources;
}

std::string identity_of(const rewards::RewardSources& sources) {
  const auto place = [](const fs::path& path) {
    return path.empty() ? std::string() : fs::absolute(path).lexically_normal().string();
  };
  std::string text = "clip=" + place(sources.clip) + ";";
  for (const auto& [flag, path] : sources.weights) text += flag + "=" + place(path) + ";";
  for (const auto& definition : sources.definitions) text += definition + ";";
  return text + "jpeg_quality=" + std::to_string(sources.jpeg_quality);
}

}  // namespace tools
