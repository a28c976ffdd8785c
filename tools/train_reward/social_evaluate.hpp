#pragma once

// Evaluates a Social Reward on a survey: pairs of images that people saw side by side.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "rewards/loader/sources.hpp"
#include "rewards/social/preference_pairs.hpp"

namespace tools {

// `folder` holds survey.jsonl, an object a line:
//   {"prompt": .., "image_a": .., "image_b": .., "votes_a": 9, "votes_b": 6}
// with images relative to it. Prints and returns the share of pairs in which each reward, and where
// there is a log.jsonl the images' popularity in it and their curated rate, agrees with the
// majority (equal votes are skipped, equal scores count a half; 95 % intervals over prompts).
// Throws BadInput for a damaged line.
nlohmann::ordered_json evaluate_social(const std::filesystem::path& folder,
                                       const std::filesystem::path& reward,
                                       const rewards::RewardSources& sources,
                                       const rewards::CurateOptions& curate);

}  // namespace tools
