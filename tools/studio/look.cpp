#include "tools/studio/look.hpp"

#include <ATen/ATen.h>

#include <map>
#include <memory>

#include "tools/train_reward/embedded_pictures.hpp"
#include "tools/train_reward/rewards_at_hand.hpp"

namespace studio {
namespace {

struct Sources {
  std::shared_ptr<rewards::ClipEmbedder> clip;
  std::vector<rewards::WeightedReward> rewards;
};

Sources sources_of(const LookConfig& config, bool prompts, at::Device device) {
  const auto sources = tools::reward_sources(config.sources, device);
  Sources found{.clip = tools::head_clip("", sources), .rewards = {}};
  if (config.rewards == "auto")
    found.rewards = tools::rewards_at_hand(sources, prompts);
  else if (config.rewards != "none")
    found.rewards = rewards::make_rewards(config.rewards, sources);
  return found;
}

Features row_of(const Features& all, int64_t row) {
  return {.embeddings = all.embeddings.narrow(0, row, 1).clone(),
          .scores = all.scores.narrow(0, row, 1).clone(),
          .rewards = all.rewards,
          .read = {all.read[static_cast<size_t>(row)]}};
}

}  // namespace

void declare_look(tools::Options& options, LookConfig& config) {
  options.text("rewards", config.rewards,
               "names of rewards to start from; auto: the differentiable ones; none");
  options.short_name("rewards", 'r');
  tools::declare_reward_sources(options, config.sources, tools::Rarity::kRare);
  options.rare().integer("batch_size", config.batch_size, "images at once", 1, 4096);
  tools::declare_device(options, config.device, tools::Rarity::kRare);
}

Learner::Look make_look(const LookConfig& config, bool prompts) {
  const tools::Placement placement = tools::open_device(config.device);
  const auto sources =
      std::make_shared<const Sources>(sources_of(config, prompts, placement.device));
  const tools::ScoringOptions scoring{.batch_size = config.batch_size, .device = placement.device};
  return [sources, scoring, placement](const std::vector<StoredImage>& images) {
    const tools::PrecisionScope precision(placement);
    std::vector<tools::ScoreJob> jobs;
    for (const auto& image : images)
      jobs.push_back({.path = image.path, .prompt = image.prompt, .row = jobs.size()});
    auto pictures = tools::embed_pictures(std::move(jobs), sources->clip, sources->rewards, scoring,
                                          /*silent=*/true);
    Features features{.embeddings = pictures.embeddings,
                      .scores = pictures.scores,
                      .rewards = {},
                      .read = std::move(pictures.read)};
    for (const auto& reward : sources->rewards) features.rewards.push_back(reward.reward.info.name);
    return features;
  };
}

Learner::Look remembering(Learner::Look look) {
  using Known = std::map<int64_t, Features>;  // of one picture each
  return [look = std::move(look),
          known = std::make_shared<Known>()](const std::vector<StoredImage>& images) {
    std::vector<StoredImage> fresh;
    for (const auto& image : images) {
      if (!known->contains(image.id)) fresh.push_back(image);
    }
    if (!fresh.empty()) {
      const Features seen = look(fresh);
      for (size_t i = 0; i < fresh.size(); ++i)
        known->emplace(fresh[i].id, row_of(seen, static_cast<int64_t>(i)));
    }
    std::vector<Features> rows;
    for (const auto& image : images) rows.push_back(known->at(image.id));
    return joined(rows);
  };
}

}  // namespace studio
