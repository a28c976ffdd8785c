#pragma once

// The folder of a reward that was trained on a person's pictures: model.safetensors, its card
// (README.md), report.json and config.toml.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "rewards/evaluation/agreement.hpp"

namespace tools {

// Throws BadInput when `output` is empty, or is a file, or holds a model that is no such reward; an
// earlier one is replaced.
void check_reward_folder(const std::string& command, const std::string& output);

struct RewardCard {
  std::string family;       // of --define: "pairs"
  std::string settings;     // of --define where there are any: ";person=NAME"
  std::string description;  // Markdown: what it learnt from, how it was measured
};
// Everything but model.safetensors.
void write_card(const std::filesystem::path& folder,
                const RewardCard& card,
                const nlohmann::ordered_json& report,
                const std::string& resolved_settings);

// "71.2 % [66.4, 75.5]"; "-": NaN
std::string share_text(const rewards::Interval& share);
nlohmann::ordered_json share_json(const rewards::Interval& share);

}  // namespace tools
