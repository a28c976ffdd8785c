#pragma once

// Edits drawn from an editing model in training.

#include "finetune/edit/edit.hpp"
#include "finetune/task/evaluate.hpp"

namespace finetune {

// The edits to evaluate on: prompt_id of an evaluation item is their row.
struct EditExam {
  EncodedEdits edits;
  EditTexts texts;
  diffusion::NoiseSchedule schedule;
};
// The first eval_prompts of each set.
EditExam make_edit_exam(const TrainingTask& task, const EditData& data, const EditConfig& config);

// The columns of an evaluation of edits: the task's eval_rewards, and "denoising".
std::vector<std::string> edit_score_names(const TrainingTask& task);

// Draws and rates `set`'s items.
Evaluation evaluate_edits(const TrainingTask& task,
                          const EditExam& exam,
                          const EvalSet& set,
                          const diffusion::Network& unet,
                          const EditConfig& config);

}  // namespace finetune
