#pragma once

// laurel score --edit: scores of edits, to train an editing model on.

#include <string>
#include <vector>

#include "tools/cli/device.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"

namespace tools {

struct ScoreEditsConfig {
  bool edit = false;
  std::string judge, judge_model;  // "http://..", "program:.."; "": none
  std::vector<std::string> axes;   // of the judge; empty: the three usual ones
  std::vector<std::string> axis;   // "generation_quality=aesthetic:3..8"
  double judge_timeout = 120;
  int64_t judge_retries = 5;
  std::string rewards, output;  // of the command
};
void declare_score_edits(Options& options, ScoreEditsConfig& config);

// A reward on an axis: low .. high of its raw values become 0 .. 5.
struct RewardAxis {
  std::string axis, reward;
  double low = 0, high = 1;
};
// "generation_quality=aesthetic:3..8". Throws BadInput for another form.
RewardAxis parse_reward_axis(const std::string& text);
double score_on_axis(const RewardAxis& axis, double raw);

// Scores the edits of a folder or JSONL file. Writes their lines with scores, feedback and raw
// rewards to the output, or prints them; a killed run can be resumed. An edit that cannot be scored
// keeps its line. Returns the exit code.
int score_edits(const std::vector<std::string>& places,
                const ScoreEditsConfig& config,
                const RewardSourceConfig& sources,
                const DeviceConfig& device);

}  // namespace tools
