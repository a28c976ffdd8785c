#pragma once

// The options of every command that scores images: where rewards take their weights from.

#include <map>
#include <string>
#include <vector>

#include "rewards/registry/registry.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct RewardSourceConfig {
  std::string clip{};                            // empty: the embedded CLIP
  std::map<std::string, std::string> weights{};  // by WeightsOption::flag; empty: the embedded ones
  int64_t jpeg_quality = 95;
  std::vector<std::string> define{};  // NAME=..., see rewards/loader/reward_spec.hpp
  int64_t external_workers = 1;
  double external_timeout = 120, external_patience = 3600;  // seconds
  bool allow_remote = false;
};

// Declares --clip and an option for each reward that has weights (`weights`), --define and, always
// rare, the settings of JPEG and external rewards. `config` must outlive `options`.
void declare_reward_sources(Options& options,
                            RewardSourceConfig& config,
                            Rarity weights = Rarity::kUsual,
                            Rarity define = Rarity::kUsual);

// With the embedded models where nothing is named.
rewards::RewardSources reward_sources(const RewardSourceConfig& config, at::Device device);

// Equal texts: the same rewards give the same scores. Holds the paths of all weights, the
// definitions and the JPEG quality.
std::string identity_of(const rewards::RewardSources& sources);

}  // namespace tools
