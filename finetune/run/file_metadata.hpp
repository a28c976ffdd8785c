#pragma once

// What the files that a run writes say of themselves beside their tensors.

#include <map>
#include <string>

#include "finetune/run/training_run.hpp"

namespace finetune {

// The text that an option of the run has in its resolved configuration (`key = "value"` lines of
// TOML); "" where it is not there.
std::string text_option(const std::string& config_text, const std::string& key);

// Whether the run's prompts ask for scores (score_prompt.hpp), by its option `condition`.
bool asks_for_scores(const std::string& config_text);

// modelspec.*, with the options metadata_title and the like, and laurel.rewards: the trained
// rewards with their weights, a JSON object; where prompts ask for scores, laurel.prompt_form, how
// one asks for the highest. Without a date: a run that is repeated or resumed
// writes the same bytes.
std::map<std::string, std::string> file_metadata(const TrainingRun& run);

}  // namespace finetune
