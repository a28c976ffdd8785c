#pragma once

// The options of every command that rates images: where rewards take their weights from.

#include <string>
#include <vector>

#include "rewards/registry/registry.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct RewardSourceConfig {
  std::string clip;       // empty: the embedded CLIP
  std::string aesthetic;  // empty: the embedded head
  std::string lvlm{};     // empty: the embedded one
  std::string social{};   // empty: the embedded one
  int64_t jpeg_quality = 95;
  std::vector<std::string> define{};  // NAME=..., see rewards/custom/reward_spec.hpp
  int64_t outside_workers = 1;
  double outside_timeout = 120, outside_patience = 3600;  // seconds
  bool allow_remote = false;
};

// Declares --clip, --aesthetic, --social and --lvlm (`weights`), --define and, always rare, the
// settings of jpeg and outside rewards.
void declare_reward_sources(Options& options,
                            RewardSourceConfig& config,
                            Rarity weights = Rarity::kUsual,
                            Rarity define = Rarity::kUsual);

// With the embedded models where nothing is named.
rewards::RewardSources reward_sources(const RewardSourceConfig& config, at::Device device);

}  // namespace tools
