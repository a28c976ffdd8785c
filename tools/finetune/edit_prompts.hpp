#pragma once

// Edits in the place of prompts: reward finetuning of a model that edits images.

#include <set>
#include <string>
#include <vector>

#include "finetune/task/training_task.hpp"
#include "rewards/registry/registry.hpp"

namespace tools {

// Reads --edits or --validation_edits, in the order of the file; of edits with one label the first
// is kept, and none whose label is in `taken`, which gets the new ones. Throws BadInput as
// read_edit_triples.
std::vector<finetune::TrainingPrompt> read_edits(const std::string& folder_or_file,
                                                 std::set<std::string>& taken);

// Every one is an edit of the built-in world, which has exact scores.
bool of_built_in_world(const std::vector<finetune::TrainingPrompt>& prompts);

// Adds the built-in world's exact scores of edits: instruction_following, detail_preserving,
// generation_quality.
rewards::RewardSources with_exact_scores(rewards::RewardSources sources);
// Throws BadInput when an exact score is among the rewards and an edit is not of that world.
void check_exact_scores(const std::vector<rewards::WeightedReward>& rewards,
                        const std::vector<finetune::TrainingPrompt>& prompts);

// The exact scores that are not trained: what else to evaluate.
std::vector<rewards::RewardWeight> other_edit_scores(
    const std::vector<rewards::RewardWeight>& trained);

}  // namespace tools
