#include "tools/finetune/guard_rewards.hpp"

#include <algorithm>
#include <filesystem>

#include "data/base/log.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/loader/reward_spec.hpp"

namespace tools {
namespace {

namespace fs = std::filesystem;

using Origins = std::vector<std::pair<std::string, rewards::RewardOrigin>>;

Origins origins_of(const std::vector<rewards::RewardWeight>& named,
                   const rewards::RewardSources& sources) {
  Origins origins;
  for (const auto& [name, weight] : named)
    origins.emplace_back(name, rewards::origin_of(name, sources));
  return origins;
}

// The trained reward that reads weights of this one; empty: none.
std::string shares_with(const rewards::RewardOrigin& origin, const Origins& trained) {
  for (const auto& [name, other] : trained) {
    if (rewards::share_weights(origin, other)) return name;
  }
  return "";
}

bool is_among(const std::string& name, const Origins& trained) {
  return std::any_of(trained.begin(), trained.end(),
                     [&](const auto& one) { return one.first == name; });
}

// Reads weights, all of which are there.
bool can_be_loaded(const rewards::RewardOrigin& origin) {
  return !origin.weights.empty() &&
         std::all_of(origin.weights.begin(), origin.weights.end(),
                     [](const fs::path& path) { return fs::exists(path); });
}

// Rewards that nobody named, among which the guard may choose.
std::vector<std::string> unnamed(const rewards::RewardSources& sources, bool synthetic) {
  std::vector<std::string> names;
  if (synthetic) {
    for (const auto* entry : rewards::reward_entries()) names.push_back(entry->info.name);
  }
  for (const auto& definition : sources.definitions)
    names.push_back(rewards::parse_reward_spec(definition, rewards::reward_families()).name);
  return names;
}

std::vector<std::string> as_named(const std::string& named,
                                  const Origins& trained,
                                  const rewards::RewardSources& sources) {
  std::vector<std::string> names;
  if (named.empty()) return names;
  for (const auto& [name, weight] : rewards::parse_reward_weights(named)) {
    const std::string shared = shares_with(rewards::origin_of(name, sources), trained);
    if (!shared.empty())
      data::log_warning("guard_rewards: " + name + " shares weights with " + shared +
                        ", which is trained: both can be gamed at once");
    names.push_back(name);
  }
  return names;
}

}  // namespace

std::vector<std::string> choose_guard_rewards(const TrainingCommand& command,
                                              const std::string& guard_mode,
                                              const std::vector<rewards::RewardWeight>& evaluated,
                                              const rewards::RewardSources& sources,
                                              bool synthetic) {
  if (guard_mode == "off") return {};
  const Origins trained = origins_of(command.trained_rewards, sources);
  if (command.guard_rewards != "auto") return as_named(command.guard_rewards, trained, sources);
  std::vector<std::string> chosen;
  if (trained.empty()) return chosen;
  for (const auto& [name, origin] : origins_of(evaluated, sources)) {
    const bool judges = !origin.is_known || !origin.weights.empty();  // not a measure of pixels
    if (judges && !origin.is_gold && !origin.compares_images &&
        shares_with(origin, trained).empty())
      chosen.push_back(name);
  }
  for (const auto& name : unnamed(sources, synthetic)) {
    const auto origin = rewards::origin_of(name, sources);
    const bool known = std::find(chosen.begin(), chosen.end(), name) != chosen.end();
    if (!known && !is_among(name, trained) && !origin.is_gold && !origin.compares_images &&
        origin.is_known && can_be_loaded(origin) && shares_with(origin, trained).empty())
      chosen.push_back(name);
  }
  return chosen;
}

}  // namespace tools
