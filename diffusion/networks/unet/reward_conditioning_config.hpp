#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"

namespace diffusion {

// How a UNet reads the reward that its image should earn.
enum class RewardLayout {
  kNone,
  kNative,    // sinusoids and a validity bit of each axis through an MLP into the time embedding
  kPublished  // as in "Multi-Reward as condition" (Gu et al. 2024): also attention after conv_in
};

// "reward_condition" of the UNet's config.json.
struct RewardBranchConfig {
  RewardLayout layout = RewardLayout::kNone;
  std::vector<std::string> axes = {"instruction_following", "detail_preserving",
                                   "generation_quality"};
  double lowest = 0, highest = 5;  // of a score
  int64_t embedding_dim = 32;      // of one score's sinusoids; even
  double max_period = 100;         // of the slowest of them
  int64_t text_dim = 0;            // width of the pooled feedback; 0: none is read
};

// The released checkpoint's numbers, which its code does not write into the config.
RewardBranchConfig published_reward_config();

// Told from a UNet's tensors: the released checkpoint's config is silent about its branch.
RewardBranchConfig reward_config_of(const data::Weights& weights);

bool reads_reward(const RewardBranchConfig& config);
// Row of an axis. Throws BadInput that lists the axes when there is none of that name.
int64_t axis_index(const RewardBranchConfig& config,
                   const std::string& name,
                   const std::string& where);

// Throws BadInput naming `source` and the key. width: of the UNet's first level.
void check_reward_config(const RewardBranchConfig& config,
                         int64_t width,
                         const std::string& source);
RewardBranchConfig read_reward_config(const nlohmann::json& object, const std::string& source);
nlohmann::json reward_config_json(const RewardBranchConfig& config);

// "native", "published", "none"; else BadInput.
RewardLayout reward_layout_from_name(const std::string& name, const std::string& where);
std::string reward_layout_name(RewardLayout layout);

}  // namespace diffusion
