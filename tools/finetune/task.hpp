#pragma once

#include "finetune/task/training_task.hpp"
#include "tools/finetune/training_options.hpp"

namespace tools {

// Loads the model, the prompts and the rewards of a command. Tells the config whether a full
// training writes the whole checkpoint. The task's config_text stays empty. Throws BadInput.
finetune::TrainingTask make_task(const TrainingCommand& command,
                                 finetune::TrainingConfig& config,
                                 const Placement& placement);

// Trained and evaluated prompts.
struct PromptSets {
  std::vector<finetune::TrainingPrompt> train, seen, unseen;
  bool synthetic = false;  // the built-in world's captions
};
// From a prompt file, or the built-in captions; without a file of validation prompts some of the
// training file's are kept back, where it has at least four times as many. The order depends on
// nothing but the prompts.
PromptSets load_prompts(const TrainingCommand& command, int64_t eval_prompts);

}  // namespace tools
