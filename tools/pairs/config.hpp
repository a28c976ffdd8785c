#pragma once

// The settings of `laurel pairs`.

#include <string>
#include <vector>

#include "rewards/labels/cross_fit.hpp"
#include "rewards/labels/rules.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct CleaningConfig {
  std::vector<std::string> choices, judgements, scores;
  std::string output, report;
  std::string by;  // a score whose order labels pairs
  int64_t pairs_per_prompt = 16;
  std::vector<std::string> consensus;  // "vote", "judgements" or a file of choices
  std::string points;                  // a score: duel, then point
  double least_gap = 0;
  std::string members;  // names of scores
  int64_t cross_fit = 0, folds = 2;
  double ridge = 1;
  double flip = 0, soften = 0, soft_label = 0.9;
  std::string drop;
  std::string probability = "choice";
  double keep_best = 0;
  std::string keep_by, best;
  int64_t seed = 0;
};

void declare_cleaning(Options& options, CleaningConfig& config);
// The rules of the settings. Throws BadInput naming the option.
rewards::LabelRules rules_of(const CleaningConfig& config);
rewards::CrossFitting cross_fitting_of(const CleaningConfig& config);
// Whether votes are asked for.
bool needs_votes(const CleaningConfig& config);
// Throws BadInput for settings that lack one another.
void check_settings(const CleaningConfig& config);

}  // namespace tools
