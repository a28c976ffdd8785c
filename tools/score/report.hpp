#pragma once

// The output of `laurel score`.

#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace tools {

struct ScoredImage {
  std::string file;
  std::string prompt;              // empty: none known
  std::vector<double> raw;         // in the order of the rewards
  std::vector<double> normalised;  // likewise
  double total = 0;
};

struct ScoreReport {
  std::vector<rewards::RewardInfo> rewards;
  std::vector<ScoredImage> images;
};

// Sorts by a reward's raw value or "total", largest first, or by "file". Throws BadInput for
// another key.
void sort_by(ScoreReport& report, const std::string& key);

// Aligned columns with each reward's unit, then mean and standard deviation (of the sample) over
// the images. "total" is a column when there are several rewards.
std::string table_text(const ScoreReport& report);
// One object a line: {"file", "prompt", "rewards": {name: raw}, "normalised": {name: value},
// "total"}.
std::string jsonl_text(const ScoreReport& report);
// file,prompt,<name>...,<name>_normalised...,total; fields quoted as in RFC 4180.
std::string csv_text(const ScoreReport& report);

// "aesthetic" -> "Aesthetic Score", "clip_score" -> "Clip Score": the entry in a PNG's
// `parameters`, as written by ImageReward's script for the web UI.
std::string parameter_title(const std::string& reward);
// `parameters` with "<title>: <value>" for each reward in its line of settings; earlier entries are
// replaced.
std::string with_scores(const std::string& parameters,
                        const ScoreReport& report,
                        const ScoredImage& image);

}  // namespace tools
