#include "tools/train_reward/rewards_at_hand.hpp"

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/log.hpp"

namespace tools {

std::vector<rewards::WeightedReward> rewards_at_hand(const rewards::RewardSources& sources,
                                                     bool prompts) {
  std::vector<rewards::WeightedReward> found;
  for (const auto* entry : rewards::reward_entries()) {
    if (!entry->info.differentiable || (entry->info.needs_prompt && !prompts)) continue;
    if (entry->weights) {
      const auto place = sources.weights.find(entry->weights->flag);
      if (place == sources.weights.end() || !std::filesystem::exists(place->second)) continue;
    }
    try {
      found.push_back({rewards::make_reward(entry->info.name, sources), 1});
    } catch (const data::BadInput& error) {  // weights for another CLIP than --clip
      data::log_warning("without " + std::string(entry->info.name) + ": " + error.what());
    }
  }
  return found;
}

}  // namespace tools
