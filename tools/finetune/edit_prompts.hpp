#pragma once

// Edits in the place of prompts: reward finetuning of a model that edits images.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/images/edit_dataset.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/run/training_task.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/finetune/training_options.hpp"

namespace tools {

// Edits by the prompt that names them: "000012.png: make the red circle blue".
using EditTable = std::map<std::string, data::EditTriple>;

struct NamedEdits {
  std::vector<std::string> names;  // in the order of the file
  bool synthetic = false;          // the built-in world's, with exact scores
};
// Reads --edits or --validation_edits into the table; the edited images are not looked at, and of
// edits that are named alike the first is kept. Throws BadInput as read_edit_triples.
NamedEdits read_edits(const std::string& folder_or_file, EditTable& table);

// Rewards that see an edit's instruction for a prompt. Beside rewards::make_rewards' names those
// of the built-in world's exact scores: instruction_following, detail_preserving,
// generation_quality. Throws BadInput for those where an edit is not of that world.
std::vector<rewards::WeightedReward> make_edit_rewards(
    const std::string& specification,
    const rewards::RewardSources& sources,
    const std::shared_ptr<const EditTable>& table);

// The exact scores that a specification does not name, as one: what else to watch.
std::string other_edit_scores(const std::string& specification);

// Lets the task's prompts name edits: their instructions are encoded, their sources begin the
// images (the middle square, `pixels` a side), and `command.request` is asked for. Throws BadInput
// as parse_request.
void make_editing(finetune::Task& task,
                  const std::shared_ptr<const diffusion::Pipeline>& pipeline,
                  const std::shared_ptr<const EditTable>& table,
                  const TrainingCommand& command,
                  int64_t pixels);

}  // namespace tools
