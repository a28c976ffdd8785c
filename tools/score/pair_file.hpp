#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tools {

// Two images of a prompt and people's preference.
struct PreferencePair {
  std::string prompt;
  std::filesystem::path a, b;
  double label = 1;  // 1: a, 0: b, 0.5: a tie
};

// JSONL, each line in one of the field's forms, paths relative to the file's folder:
//   {"prompt", "a", "b", "winner": "a" | "b" | "tie"}            ours
//   {"prompt", "pos_path", "neg_path"}                           Social Reward
//   {"prompt", "generations": [...], "ranking": [...]}           ImageRewardDB, 1 = best
//   {"prompt", "image_path": [...], "rank": [...]}               HPDv2, 0 or 1 = best
//   {"prompt", "file_path": [2], "human_preference": [1, 0]}     HPDv2's pairs
//   {"caption", "image_0", "image_1", "label_0", "label_1"}      Pick-a-Pic
// Throws BadInput naming the first line of another form.
std::vector<PreferencePair> read_pairs(const std::filesystem::path& path);

}  // namespace tools
